"""/health/live and /health/ready: for those who watch the server."""

from typing import ClassVar

from contract.calls import Answer, Call
from contract.documents import Status
from handlers.base import BaseHandler
from rules.errors import DatabaseUnavailable, ShuttingDown

_LIVE = Call(summary="Tell whether the server runs", answer=Answer("It does.", Status))
_READY = Call(
    summary="Tell whether the server can serve",
    answer=Answer("It can: the database answers.", Status),
    refusals=(DatabaseUnavailable, ShuttingDown),
)


class LiveHandler(BaseHandler):
    calls: ClassVar = {"GET": _LIVE, "HEAD": _LIVE}
    is_open_to_plain_http = True

    def get(self) -> None:
        self.send({"status": "ok"})

    head = get


class ReadyHandler(BaseHandler):
    calls: ClassVar = {"GET": _READY, "HEAD": _READY}
    is_open_to_plain_http = True

    async def get(self) -> None:
        if self.application.draining:
            raise ShuttingDown
        await self.application.services.readiness.check_ready()
        self.send({"status": "ok"})

    head = get


routes = [(r"/health/live", LiveHandler), (r"/health/ready", ReadyHandler)]
