"""What is found by words, in records of all kinds, and in which order; what a word is, `domain.words` says."""
