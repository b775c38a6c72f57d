"""/api/user/events: what happened to the account of whoever asks."""

from typing import ClassVar

from auth.errors import FieldError, InvalidFields
from handlers.base import BaseHandler, Call, Guard
from handlers.documents import event_document

_MOST = 100
_LARGEST_ID = 2**63 - 1


class EventsHandler(BaseHandler):
    calls: ClassVar = {"GET": Call(Guard.USER), "HEAD": Call(Guard.USER)}

    async def get(self) -> None:
        most = self._number("limit", default=50, largest=_MOST)
        found = await self.application.services.audit.find(
            most=most,
            user_id=self.identity.user.id,
            before=self._number("before", default=_LARGEST_ID, largest=_LARGEST_ID),
        )
        older = str(found[-1].id) if len(found) == most else None
        self.send({"events": [event_document(event) for event in found], "before": older})

    head = get

    def _number(self, name: str, *, default: int, largest: int) -> int:
        match self.get_query_arguments(name, strip=False):
            case []:
                return default
            case [text] if text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= largest:
                return int(text[:20])
            case _:
                raise InvalidFields([FieldError(name, f"must be a number, 1 to {largest}, once")])


routes = [(r"/api/user/events", EventsHandler)]
