"""Operations on records: read, list, history, Memento, append, and the timeline of claims.

Each kind has a file of its own with its addresses; what they answer alike stands once, beside those.
"""
