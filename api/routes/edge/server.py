"""What the server itself may hold of each client, before any of our code is reached: connections, heads, seconds.

Cleartext HTTP/2 is not served. Granian can bound a stream's headers, but where it offers both protocols a connection that
never says which one it speaks stays open for good, and nothing ends an idle HTTP/2 connection.
"""

import resource
from typing import TypedDict

from granian.constants import HTTPModes
from granian.http import HTTP1Settings

from api.routes.edge.exchange import PATIENCE

# Connections of one process. Each may hold an answer that is not read, which the server keeps a few pieces of.
_CONNECTIONS = 1024
# Of the files that the system lets the process open, those which the ledger needs for itself. Were they gone, the server
# would try to take connections in over and over.
_FILES = 256
# A head of the most that the edge lets pass fits in, with its line breaks and names.
_HEAD = 96 * 1024


class Bounds(TypedDict):
    """Arguments of Granian's."""

    http: HTTPModes
    backpressure: int
    http1_settings: HTTP1Settings


def bounds() -> Bounds:
    """Bound what a worker takes upon itself.

    A head that is not whole after PATIENCE seconds ends the connection, and so does silence after an answer. One of more
    than 100 fields or much more than _HEAD bytes is answered by the server, with a bare 431.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return {
        "http": HTTPModes.http1,
        "backpressure": max(1, min(_CONNECTIONS, files - _FILES)),
        "http1_settings": HTTP1Settings(header_read_timeout=PATIENCE * 1000, max_buffer_size=_HEAD),
    }
