"""Checkpoints over what is committed, and the memory of what was signed.

A log that is not the one signed is refused here, and never signed.
"""
