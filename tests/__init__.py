"""Tests: behaviour in sentences, on SQLite and on a real PostgreSQL server that the tests start themselves."""
