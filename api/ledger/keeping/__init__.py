"""What a node does beside its work: it looks through its log, copies it, finds it, stands by, and tells who waits that it grew.

It never appends.
"""
