"""/api/verify: a proxy checks the credentials of a request before it forwards it."""

import string
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Call, Guard, HeaderField, Response
from handlers.base import BaseHandler
from rules.errors import Problem, Unauthorized
from transport.browsers import is_from_browser
from transport.response import Fields

# Every printable ASCII character of an email address is sent as it is, except the percent sign.
_PLAIN = string.punctuation.replace("%", "")
_VERIFY = Call(
    Guard.USER,
    summary="Verify credentials for a proxy",
    description="For nginx `auth_request`, Caddy `forward_auth` and the like, which may add the"
    " query of the request that they ask about, and its body: both are ignored.",
    response=Response(
        "The credentials are valid; the body is empty.",
        fields=(
            HeaderField("X-Auth-User-Id", "The user's id."),
            HeaderField("X-Auth-Email", "The email address in UTF-8, percent-encoded."),
            HeaderField("X-Auth-Email-Verified", "Whether the address is verified: true or false."),
            HeaderField("X-Auth-Name", "The name in UTF-8, percent-encoded; empty without a name."),
        ),
    ),
)


class VerifyHandler(BaseHandler):
    calls: ClassVar = {"GET": _VERIFY, "HEAD": _VERIFY}
    is_called_by_proxy = True
    # A proxy may copy the head of a request with a body, and then sends the body or not.
    ignores_body = True
    # Caddy appends the query of the request that it asks about.
    ignores_unknown_parameters = True

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error; to a browser, without a Basic challenge.

        It would open the browser's dialog, and what is entered there is added to each request to
        the service, even from pages of other sites.
        """
        if isinstance(problem, Unauthorized) and is_from_browser(self.request.headers):
            return problem.bearer_challenge
        return problem.headers

    def get(self) -> None:
        user = self.identity.user
        # Always all of them: a proxy that copies them must not keep one that the caller sent.
        self.respond(
            200,
            (
                ("X-Auth-User-Id", user.id),
                ("X-Auth-Email", quote(user.email, safe=_PLAIN)),
                ("X-Auth-Email-Verified", str(user.is_email_verified).lower()),
                ("X-Auth-Name", quote(user.name or "", safe="")),
            ),
        )

    head = get


routes = [(r"/api/verify", VerifyHandler)]
