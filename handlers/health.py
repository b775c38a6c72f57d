"""/health/live and /health/ready: for those who watch the server."""

from typing import ClassVar

from auth.errors import ShuttingDown
from handlers.base import BaseHandler, Call


class LiveHandler(BaseHandler):
    calls: ClassVar = {"GET": Call(), "HEAD": Call()}
    is_open_to_plain_http = True

    def get(self) -> None:
        self.send({"status": "ok"})

    head = get


class ReadyHandler(BaseHandler):
    calls: ClassVar = {"GET": Call(), "HEAD": Call()}
    is_open_to_plain_http = True

    async def get(self) -> None:
        if self.application.draining:
            raise ShuttingDown
        await self.application.services.accounts.check_ready()
        self.send({"status": "ok"})

    head = get


routes = [(r"/health/live", LiveHandler), (r"/health/ready", ReadyHandler)]
