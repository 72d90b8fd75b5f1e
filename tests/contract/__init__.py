"""Tests of what is promised: the document, its refusals, the README, the packages, and which room may know which."""
