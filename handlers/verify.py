"""/api/verify: a proxy asks who somebody is, before it lets a request through."""

import string
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Answer, Call, Guard, HeaderField
from handlers.base import BaseHandler
from rules.errors import Problem, Unauthorized
from transport.browsers import is_from_browser
from transport.response import Fields

# What stands for itself in an e-mail address: everything printable in ASCII, but the percent sign.
_PLAIN = string.punctuation.replace("%", "")
_VERIFY = Call(
    Guard.USER,
    summary="Tell a proxy who is asking",
    text="For nginx `auth_request`, Caddy `forward_auth` and the like.",
    answer=Answer(
        "The request may pass; the body is empty.",
        fields=(
            HeaderField("X-Auth-User-Id", "The id of the user."),
            HeaderField("X-Auth-Email", "The e-mail address, percent-encoded UTF-8."),
            HeaderField("X-Auth-Name", "The name, percent-encoded UTF-8; or empty."),
        ),
    ),
)


class VerifyHandler(BaseHandler):
    calls: ClassVar = {"GET": _VERIFY, "HEAD": _VERIFY}
    asks_for_others = True

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the fields of a refusal; a browser gets no challenge that opens its dialog.

        It would add what was typed there to each request to the service, of any site's pages.
        """
        if isinstance(problem, Unauthorized) and is_from_browser(self.request.headers):
            return problem.bearer_challenge
        return problem.headers

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
