"""Tests of the databases themselves.

Migrations, triggers, threads, connections that are lost, and servers that fail over.
"""
