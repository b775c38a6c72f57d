"""/health/live and /health/ready: the health checks of monitors and load balancers."""

from typing import ClassVar

from contract.calls import Call, Response
from contract.documents import Status
from handlers.base import BaseHandler
from rules.errors import DatabaseUnavailable, ShuttingDown

_LIVE = Call(
    summary="Check whether the server runs",
    description="For monitors: does not contact the database.",
    response=Response("It runs.", Status),
)
_READY = Call(
    summary="Check whether the server is ready",
    description="For load balancers: 503 if the database cannot be used, or during a stop.",
    response=Response("It is ready: the database responds.", Status),
    problems=(DatabaseUnavailable, ShuttingDown),
)


class LiveHandler(BaseHandler):
    calls: ClassVar = {"GET": _LIVE, "HEAD": _LIVE}
    allows_plain_http = True
    ignores_unknown_parameters = True

    def get(self) -> None:
        self.send({"status": "ok"})

    head = get


class ReadyHandler(BaseHandler):
    calls: ClassVar = {"GET": _READY, "HEAD": _READY}
    allows_plain_http = True
    ignores_unknown_parameters = True

    async def get(self) -> None:
        if self.application.draining:
            raise ShuttingDown
        await self.application.services.readiness.check_ready()
        self.send({"status": "ok"})

    head = get


routes = [(r"/health/live", LiveHandler), (r"/health/ready", ReadyHandler)]
