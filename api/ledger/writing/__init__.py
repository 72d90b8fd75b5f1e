"""Appending: groups that share a commit, decisions under the head's lock, how a ledger begins, redaction, and keys.

What is not decided here is not in the log.
"""
