"""The published document: as it is committed, the rules that it keeps, and the answers that its examples show."""
