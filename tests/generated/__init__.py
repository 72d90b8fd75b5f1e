"""Clients that others' generators make of the document, each put to work on a served ledger; and others' linters.

What our own rules say of the document is in `openapi/lint.py`. Nothing here is part of `uv run pytest`.
"""
