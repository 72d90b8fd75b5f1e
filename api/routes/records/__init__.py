"""Operations on records: read, list, history, Memento, append, the timeline of claims, and who said what.

Each kind has a file of its own with its addresses; what they answer alike stands once, beside those.
"""
