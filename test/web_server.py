# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A web server with the faults of real ones, and files for it to serve."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def make_checkpoint(size_bytes: int = 300_000) -> bytes:
    """Return random content that is taken for a checkpoint: a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('archive/data.pkl', os.urandom(size_bytes))
    return buffer.getvalue()


@dataclass
class FileServer:
    """One file on a real socket, and how the server misbehaves.

    validators: ETag and Last-Modified headers. break_after: for each request to come, how many
    bytes of the answer to send before the connection is closed. pause_s: before every 64 kB.
    """

    content: bytes = b''
    status: int = 200
    location: str = ''
    validators: dict[str, str] = field(default_factory=lambda: {'ETag': '"1"'})
    has_ranges: bool = True
    checks_if_range: bool = True
    announces_length: bool = True
    announced_bytes: int = 0
    break_after: list[int] = field(default_factory=list)
    pause_s: float = 0.0
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ''

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append(dict(handler.headers))
        if self.status != 200:
            handler.send_response(self.status)
            handler.send_header('Location', self.location)
            handler.send_header('Content-Length', '0')
            handler.end_headers()
            return
        start = self.find_start(handler)
        total = len(self.content)
        if start > total - 1 and start > 0:
            handler.send_response(416)
            handler.send_header('Content-Range', f'bytes */{total}')
            handler.send_header('Content-Length', '0')
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header('Content-Range', f'bytes {start}-{total - 1}/{total}')
        for name, value in self.validators.items():
            handler.send_header(name, value)
        if self.announces_length:
            handler.send_header('Content-Length', str(self.announced_bytes or total - start))
        handler.end_headers()
        body = self.content[start:]
        if self.break_after:
            body = body[: self.break_after.pop(0)]
        with contextlib.suppress(ConnectionError):  # the client may leave
            for offset in range(0, len(body), 1 << 16):
                time.sleep(self.pause_s)
                handler.wfile.write(body[offset : offset + (1 << 16)])

    def find_start(self, handler: BaseHTTPRequestHandler) -> int:
        """Return the first byte asked for, 0 where the whole file is to be sent."""
        wanted = handler.headers.get('Range', '')
        condition = handler.headers.get('If-Range', '')
        if not wanted or not self.has_ranges:
            return 0
        if self.checks_if_range and condition not in self.validators.values():
            return 0
        return int(wanted.removeprefix('bytes=').partition('-')[0])

    def ranges(self) -> list[str]:
        """Return the Range header of each request so far."""
        return [headers.get('Range', '') for headers in self.requests]


def serve(server: FileServer) -> ThreadingHTTPServer:
    """Start a server on a free port of this machine; `shutdown` and `server_close` end it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *args) -> None:
            pass

    httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    server.url = f'http://127.0.0.1:{httpd.server_address[1]}/file.pth?dl=1'
    return httpd
