"""Events folded into rows that can be asked for: as they are appended, after a redaction, and all anew.

Only what is written here stands in projections; nothing here answers a reader.
"""
