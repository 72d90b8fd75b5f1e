"""Operations on records: read, list, history, Memento, append.

What two kinds have in common stands once, in `records`.
"""
