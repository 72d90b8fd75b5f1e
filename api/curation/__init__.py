"""What an editor of the seed needs: the corpus as its files leave it, the checks of a careful eye, and its coverage."""
