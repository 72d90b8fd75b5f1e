"""Ledgers that watch each other.

Cosignatures asked for and given, by c2sp.org/tlog-witness, with the route that gives them. No records are read here.
"""
