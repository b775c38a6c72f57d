"""The limit `bare`: Tornado on uvloop with one stock handler, and nothing else.

No check, no database, no log: what the HTTP server itself costs. Run as `python -m bench.bare`;
it listens on a free port of 127.0.0.1 and prints its address.
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


def _log_nothing(_handler: RequestHandler) -> None:
    """Stand in for the access log."""


async def _serve() -> None:
    server = HTTPServer(Application([("/api/user", UserHandler)], log_function=_log_nothing))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(f"bare serves http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
