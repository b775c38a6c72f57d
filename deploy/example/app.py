"""An application without users of its own: notes that everyone who reaches it can read and add.

    python3 app.py [PORT]

It listens on 127.0.0.1, so that only the proxy on this machine reaches it.
"""

import html
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Notes</title>
<h1>Notes</h1>
<ul>{notes}</ul>
<form method="post" action="/"><label>Note <input name="note" required></label> <button>Add</button>
</form>
<p><a href="/auth/account">Account</a></p>
</html>
"""
_MAX_BYTES = 10_000


class Notes(BaseHTTPRequestHandler):
    """The page with the notes, and the form that adds one."""

    notes: list[str]

    def do_GET(self) -> None:
        """Show the notes."""
        items = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        content = _PAGE.format(notes=items).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        # After the user signs out, the browser must not show the page from its cache.
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        """Add a note."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > _MAX_BYTES:
            self.send_error(413)
            return
        self.notes.extend(parse_qs(self.rfile.read(length).decode()).get("note", []))
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - of the base
        """Log nothing: nginx and userauth log the requests."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    Notes.notes = ["Anyone who signs in can read this."]
    ThreadingHTTPServer(("127.0.0.1", port), Notes).serve_forever()
