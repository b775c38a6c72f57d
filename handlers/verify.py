"""/api/verify: a proxy asks who somebody is, before it lets a request through."""

import string
from typing import ClassVar
from urllib.parse import quote

from handlers.base import BaseHandler, Call, Guard

# What stands for itself in an e-mail address: everything printable in ASCII, but the percent sign.
_PLAIN = string.punctuation.replace("%", "")


class VerifyHandler(BaseHandler):
    calls: ClassVar = {"GET": Call(Guard.USER), "HEAD": Call(Guard.USER)}
    asks_for_others = True

    def get(self) -> None:
        user = self.identity.user
        # All three always: a proxy that copies them must not leave one of the client's own.
        self.answer(
            200,
            (
                ("X-Auth-User-Id", user.id),
                ("X-Auth-Email", quote(user.email, safe=_PLAIN)),
                ("X-Auth-Name", quote(user.name or "", safe="")),
            ),
        )

    head = get


routes = [(r"/api/verify", VerifyHandler)]
