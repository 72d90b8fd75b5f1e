"""Two databases behind one way to ask: connections, tables, spelling, care of files, threads, and the clock.

What a claim is never matters here.
"""
