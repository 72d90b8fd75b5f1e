"""Attacks of strangers and of keys gone astray on a served ledger, over raw sockets: `python -m tests.attacks`.

Each says what must be answered. What another client sees meanwhile, and how much memory the worker takes, is measured.
"""
