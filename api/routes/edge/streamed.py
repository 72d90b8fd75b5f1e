"""Answers whose body comes in pieces, for as long as somebody takes them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from litestar.types import Receive, Scope, Send

from api.routes.edge.exchange import NotTaken
from api.routes.edge.reply import Headers


class Streamed:
    """A response that goes on: a plain ASGI application. `begin` was made before its head goes out, `rest` follows.

    It ends when the client leaves, and `rest` is closed then. A fault on the way breaks the connection off.
    """

    __slots__ = ("_begin", "_headers", "_rest")

    def __init__(self, headers: Headers, begin: bytes, rest: AsyncGenerator[bytes]) -> None:
        self._headers, self._begin, self._rest = headers, begin, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        async with aclosing(self._rest) as rest:
            with suppress(NotTaken, TimeoutError):
                async with asyncio.timeout(None) as stay:
                    leaving = asyncio.ensure_future(_leaving(receive))
                    leaving.add_done_callback(lambda _: _end(stay))
                    try:
                        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
                        await _send_piece(send, self._begin)
                        async for piece in rest:
                            await _send_piece(send, piece)
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
                    finally:
                        leaving.cancel()


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _leaving(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _end(stay: asyncio.Timeout) -> None:
    # Where it has ended by itself there is nothing to end.
    with suppress(RuntimeError):
        stay.reschedule(0)
