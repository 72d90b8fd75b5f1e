"""How records are found by words: what a word is, what a search gives, and whether people find what they mean."""
