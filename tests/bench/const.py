"""The ceiling: Litestar answering with constant bytes. No framework code of ours can be faster than this."""

from litestar import Litestar, Response, get

BODY = b'{"constant":"' + b"x" * 1000 + b'"}'


@get("/")
async def constant() -> Response[bytes]:
    """Answer with one kilobyte, the size of a record."""
    return Response(BODY, media_type="application/json")


app = Litestar([constant], openapi_config=None)
