"""/api/user/login: a password for a token."""

from typing import ClassVar

from handlers.base import BaseHandler, Call, Guard
from handlers.documents import rfc3339


class LoginHandler(BaseHandler):
    # No HEAD: it must not make a token.
    calls: ClassVar = {"GET": Call(Guard.PASSWORD), "POST": Call(Guard.PASSWORD)}

    async def get(self) -> None:
        issued = await self.application.services.sessions.log_in(self.identity, self.origin)
        self.send(
            {
                "token": issued.token,
                "expires_at": rfc3339(issued.expires_at),
                "expires_in": issued.expires_in,
            }
        )

    post = get


routes = [(r"/api/user/login", LoginHandler)]
