"""/auth/account/events: the events of the account, as /api/user/events returns them."""

from dataclasses import dataclass

from contract.parameters import Identifier
from db.events import EventFilter
from db.rows import EventRow
from pages.account_base import AccountHandler
from rules.errors import InvalidParameters, NotFound

_LIMIT = 50
_BEFORE = Identifier("before", "The last event of the previous page.")


@dataclass(frozen=True, slots=True)
class EventView:
    """An event, in words."""

    row: EventRow
    text: str


class EventsPage(AccountHandler):
    template = "account-events"

    async def get(self) -> None:
        wanted = EventFilter(user_id=self.identity.user.id, before=self._before)
        found = await self.application.services.audit.find(wanted, limit=_LIMIT)
        older = found[-1].public_id if len(found) == _LIMIT else ""
        self.show(events=[EventView(row, self._describe(row)) for row in found], older=older)

    @property
    def _before(self) -> str | None:
        """Return the id of the event before which the page begins; raise NotFound if invalid."""
        try:
            return self.query(_BEFORE)
        except InvalidParameters:
            raise NotFound from None

    def _describe(self, event: EventRow) -> str:
        key = f"event.{event.kind}"
        return self.texts(key) if self.texts.has(key) else self.texts("event.other")


routes = [(r"/auth/account/events", EventsPage)]
