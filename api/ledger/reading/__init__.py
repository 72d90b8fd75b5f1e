"""Views.

What a reader may ask at a position, from projections and the log, and whether what is stored is what was written.
Nothing here changes a row.
"""
