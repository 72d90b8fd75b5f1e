"""A real primary and its standby, and ledgers that are served against them: what is killed, frozen and promoted."""
