"""PostgreSQL's story: a server that may be slow or away, reads in its pipeline, columns in binary form, tables made anew.

Nothing here knows that there is another database.
"""
