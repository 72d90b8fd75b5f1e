"""Dates as people write them (EDTF), and moments of the three clocks: what each may mean, in microseconds.

What time it is is never asked here.
"""
