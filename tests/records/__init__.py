"""Tests of operations on records over HTTP, Memento among them."""
