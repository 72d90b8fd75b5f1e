"""What the ledger means, in plain values: records, dates, agreement and the format of the log.

Whatever reads a clock or a file, speaks SQL or HTTP, or draws at random never lives here.
"""
