"""SQLite's story: a file, its connections, a thread that writes aside, words in FTS5, and what is left in its pages.

Nothing here knows that there is another database.
"""
