"""/auth/account/data: a copy of the user's data: the account, sessions, tokens, and events."""

from contract.documents import event_document, token_document, user_document
from db.events import EventFilter
from db.rows import EventRow
from pages.account_base import AccountHandler

_PAGE = 1_000
# The newest events: anyone can cause failures, which must not fill the memory.
MAX_EVENTS = 10_000
_ATTACHMENT = ("Content-Disposition", 'attachment; filename="account.json"')


class DataPage(AccountHandler):
    async def get(self) -> None:
        current = self.own_session.token_id
        rows = await self.application.services.tokens.find_all(self.identity)
        document = {
            "user": user_document(self.own_session.user),
            "tokens": [token_document(row, current=row.id == current) for row in rows],
            "events": [event_document(event) for event in await self._find_events()],
        }
        self.send(document, fields=(_ATTACHMENT, *self.fields_of_pages))

    async def _find_events(self) -> list[EventRow]:
        user_id, found = self.identity.user.id, list[EventRow]()
        while len(found) < MAX_EVENTS:
            wanted = EventFilter(user_id=user_id, before=found[-1].public_id if found else None)
            page = await self.application.services.audit.find(wanted, limit=_PAGE)
            found += page
            if len(page) < _PAGE:
                break
        return found


routes = [(r"/auth/account/data", DataPage)]
