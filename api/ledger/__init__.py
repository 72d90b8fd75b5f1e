"""The ledger on a database: stored, projected, read, written, kept and signed, each in a room of its own.

These are the only rooms that know SQL; none of them knows HTTP.
"""
