"""What is right about every request and answer, whatever it is about.

Bounds, bodies, keys, limits, caching, problems, metrics. No record is known here.
"""
