"""A proxy in front of a served ledger that tells the truth but where it is told to lie: what an auditor may be up against."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Lie = Callable[[str, int, bytes], tuple[int, bytes]]


class Drip(bytes):
    """An answer that comes a byte at a time, and never to its end."""


@contextlib.contextmanager
def lying(url: str, lie: Lie) -> Iterator[str]:
    """Serve what the ledger at `url` serves, changed by `lie`, which gets path, status and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # Headers and body in one packet, or the client waits for the second.

        def do_GET(self) -> None:
            answer = truth.get(self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
            status, body = lie(self.path, answer.status_code, answer.content)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", url + self.path)
            self.send_header("Content-Length", str(2**20 if isinstance(body, Drip) else len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                if not isinstance(body, Drip):
                    self.wfile.write(body)
                while isinstance(body, Drip) and not ended.wait(0.05):
                    self.wfile.write(b" ")
                    self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    truth, ended = httpx.Client(base_url=url, verify=False), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
        truth.close()


def at(path: str, change: Callable[[bytes], bytes]) -> Lie:
    """Lie at the paths that begin so, and nowhere else."""
    return lambda asked, status, body: (status, change(body) if asked.startswith(path) else body)
