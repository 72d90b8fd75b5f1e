"""Tests of appending, projecting, redaction and views, on both databases, without HTTP."""
