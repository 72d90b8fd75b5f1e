"""What the published document says: parameters, bodies and answers as types.

Nothing here answers a request.
"""
