"""What the claims on a question add up to.

Which meet and which conflict, from how many origins, and in which groups. It is computed and never recorded; nothing
here knows how a claim came to be what it is.
"""
