"""/api/user/events: the events of the user's account."""

from typing import ClassVar

from contract.calls import Call, Guard, Link, Response
from contract.documents import Events, event_document
from contract.parameters import Identifier, Number
from db.events import EventFilter
from handlers.base import BaseHandler

_LIMIT = Number("limit", "The maximum number of events.", default=50, maximum=100)
_BEFORE = Identifier("before", "The `before` of the previous page.")
_LIST = Call(
    Guard.USER,
    query=(_LIMIT, _BEFORE),
    summary="List the events of the account",
    description="Registration, logins, failed passwords, changes and revoked tokens, page by page.",
    response=Response(
        "A page of events, newest first.",
        Events,
        links=(Link("older", "getEvents", "before", "$response.body#/before"),),
    ),
)


class EventsHandler(BaseHandler):
    calls: ClassVar = {"GET": _LIST, "HEAD": _LIST}

    async def get(self) -> None:
        limit = self.query(_LIMIT)
        wanted = EventFilter(user_id=self.identity.user.id, before=self.query(_BEFORE))
        found = await self.application.services.audit.find(wanted, limit=limit)
        older = found[-1].public_id if len(found) == limit else None
        self.send({"events": [event_document(event) for event in found], "before": older})

    head = get


routes = [(r"/api/user/events", EventsHandler)]
