"""Tests of verifying and witnessing: each lie and each tampering is found out."""
