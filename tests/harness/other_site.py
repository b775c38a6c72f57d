"""The site of an attacker: pages over HTTPS, under any host name."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

Field = tuple[str, str]


class OtherSite:
    """Pages by their paths; each host name of this machine serves them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, tuple[str, Sequence[Field]]] = {}

    def url(self, host: str, html: str, *fields: Field) -> str:
        """Add a page; return its URL at a host."""
        path = f"/{len(self.pages)}"
        self.pages[path] = (f"<!DOCTYPE html><title>Other</title>{html}", fields)
        return f"https://{host}:{self.port}{path}"


@contextmanager
def other_site(files: tuple[Path, Path]) -> Iterator[OtherSite]:
    """Run a site with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            html, fields = site.pages.get(urlsplit(self.path).path, ("", ()))
            body = html.encode()
            self.send_response(200)
            for name, value in (("Content-Type", "text/html; charset=utf-8"), *fields):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Write no log."""

    # A connection that a browser opens ahead of its requests holds its thread only.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=True)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    site = OtherSite(server.server_port)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
