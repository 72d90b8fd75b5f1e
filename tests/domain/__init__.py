"""Tests of what the ledger means: answers, dates, agreement, rules.

No database is asked.
"""
