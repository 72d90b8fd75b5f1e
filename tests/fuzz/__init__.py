"""Fuzzing the served API by schemathesis' command line."""
