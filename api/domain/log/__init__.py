"""The format of the log.

Entries and payloads to the byte, the Merkle tree over them, and the notes that are signed. Where they are stored, and
who signs when, is not known here.
"""
