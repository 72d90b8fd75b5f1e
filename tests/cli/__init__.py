"""Tests of the command line and of who runs a ledger."""
