"""The ledger's clock, the one place where the time of day is read."""

import time


def now() -> int:
    """Read the ledger's clock: microseconds since the epoch."""
    return time.time_ns() // 1000
