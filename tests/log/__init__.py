"""Tests of the log: its format to the byte, tree, checkpoints, proofs and tiles, as strangers read them."""
