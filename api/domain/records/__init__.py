"""Records: the table of their kinds, what may be asked of them, and what the ledger refuses.

An operation becomes a command, a command a decision, an event a record. What claims add up to, and how an event is
hashed, is told elsewhere.
"""
