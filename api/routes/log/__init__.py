"""Operations on the log: events, proofs, tiles, batches and redactions."""
