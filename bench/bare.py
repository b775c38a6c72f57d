"""The baseline `bare`: Tornado on uvloop with one stock handler.

Without authentication, database and log, it shows the cost of the HTTP server itself. Run as
`python -m bench.bare`; it listens on a free port of 127.0.0.1 and prints its URL.
"""

import asyncio

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

USER = {
    "id": "7c9f2c52-3f0e-4d1c-9a63-0d7f4b1f6a55",
    "email": "user50001@example.com",
    "name": "User 50001",
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}


class UserHandler(RequestHandler):
    def get(self) -> None:
        self.write(USER)


def no_log(_handler: RequestHandler) -> None:
    """Replace the access log."""


async def _serve() -> None:
    server = HTTPServer(Application([("/api/user", UserHandler)], log_function=no_log))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(f"bare listens on http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
