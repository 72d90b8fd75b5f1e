"""What tests are made with.

Builders, ledgers that are served, processes that are killed, and an auditor after each.
"""
