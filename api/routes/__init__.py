"""The HTTP edge: requests read, answers sent, nothing decided.

No SQL is written here.
"""
