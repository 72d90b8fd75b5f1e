"""Tests of every request's way in and out: bounds, bodies, limits, caching, problems, and attacks."""
