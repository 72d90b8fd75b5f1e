"""The Deplatforming Ledger: who claimed what, kept so that nothing is overwritten and every past view can be asked for."""

__version__ = "0.1.0"
