"""Tests of how the log is followed: every form of the feed, live and from the archive, over servers that run."""
