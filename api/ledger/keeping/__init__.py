"""What a node does beside its work: it looks through its log, copies it, finds it, and stands by.

It never appends.
"""
