"""A log, a database or a served ledger, checked from outside.

All that is served is derived again; nothing here repairs what it finds.
"""
