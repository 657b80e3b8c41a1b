"""A web server of the tests' own, which misbehaves as it is told and remembers what it was asked."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    range: str | None
    if_range: str | None


class Server(ThreadingHTTPServer):
    """Serves ``files`` from memory.

    Attributes:
        files: path → bytes.
        etag: of every file; None for none.
        modified: the date of every file; None for none.
        ranges: whether parts of a file can be had.
        length: whether a file's length is said beforehand.
        cuts: for each of the next answers, the bytes after which it breaks off.
        stalls: whether it then keeps still instead.
        statuses: answers to give before any file.
        redirects: path → address.
        headers: sent with every file.
        asked: every request so far.
        sent: bytes of files so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"one"'
        self.modified: str | None = None
        self.ranges = self.length = True
        self.cuts: list[int] = []
        self.stalls = False
        self.statuses: list[int] = []
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.sent = 0
        self.cut = threading.Event()
        self.over = threading.Event()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(Asked(self.path, wanted, self.headers.get("If-Range")))
        if server.statuses:
            return self._answer(server.statuses.pop(0), {"Content-Length": "0"})
        if self.path in server.redirects:
            return self._answer(302, {"Location": server.redirects[self.path], "Content-Length": "0"})
        if self.path not in server.files:
            return self._answer(404, {"Content-Length": "0"})
        content, start, status, headers = server.files[self.path], 0, 200, dict(server.headers)
        unchanged = self.headers.get("If-Range") in (None, server.etag, server.modified)
        if server.ranges and wanted and unchanged:
            start, status = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)), 206
            if start >= len(content):
                return self._answer(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers |= {"ETag": server.etag} if server.etag else {}
        headers |= {"Last-Modified": server.modified} if server.modified else {}
        headers |= {"Content-Length": str(len(content) - start)} if server.length else {}
        self._answer(status, headers)
        body = content[start:]
        cut = server.cuts.pop(0) if server.cuts else None
        # Counted before the client can have the last of it, and a test look.
        server.sent += len(body[:cut])
        self.wfile.write(body[:cut])
        if cut is not None:
            server.cut.set()
            if server.stalls:
                server.over.wait(60)
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def running() -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
