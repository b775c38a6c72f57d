"""/api/verify: a proxy checks the credentials of a request before it forwards it."""

import string
from collections.abc import Awaitable
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Call, Guard, HeaderField, Response
from contract.parameters import Flag
from handlers.base import BaseHandler
from rules.errors import Problem, Unauthorized
from services.identities import Identity
from transport.browsers import is_from_browser
from transport.response import Fields
from transport.session_cookie import session_cookie_name

# Printable ASCII characters of an email address are sent unencoded, except the percent sign.
_PLAIN = string.punctuation.replace("%", "")
_SIGN_IN = Flag(
    "sign_in",
    "Send a browser without a session to the page that signs in, if a proxy of"
    " `server.trusted_proxies` describes its request in `X-Forwarded-Method`, `X-Forwarded-Host`"
    " and `X-Forwarded-Uri`. Any value but `true` is ignored.",
)
_VERIFY = Call(
    Guard.USER_OR_SESSION,
    query=(_SIGN_IN,),
    summary="Verify credentials for a proxy",
    description="For nginx `auth_request`, Caddy `forward_auth`, Traefik `forwardAuth` and the"
    " like, which may add the query of the request that they ask about, and its body: both are"
    " ignored. A browser is a caller whose `Accept` names HTML and prefers it to JSON.",
    response=Response(
        "The credentials are valid; the body is empty.",
        fields=(
            HeaderField("X-Auth-User-Id", "The user's id."),
            HeaderField("X-Auth-Email", "The email address in UTF-8, percent-encoded."),
            HeaderField("X-Auth-Email-Verified", "Whether the address is verified: true or false."),
            HeaderField("X-Auth-Name", "The name in UTF-8, percent-encoded; empty without a name."),
        ),
        alternative=Response(
            "With `sign_in=true`: a browser without a session gets the page that signs in.",
            status=HTTPStatus.SEE_OTHER,
            fields=(HeaderField("Location", "The path of the page, with `next`."),),
        ),
    ),
)


class VerifyHandler(BaseHandler):
    calls: ClassVar = {"GET": _VERIFY, "HEAD": _VERIFY}
    is_called_by_proxy = True
    # A proxy may copy the head of a request that has a body, and then send no body.
    ignores_body = True
    # Caddy appends the query of the request that is to be authorized.
    ignores_unknown_parameters = True

    def identify(self, guard: Guard) -> Awaitable[Identity]:
        """Identify the user by Authorization if there is one, otherwise by the session."""
        if "Authorization" not in self.request.headers:
            is_secure = self.application.addresses.used_https(self.request)
            cookie = self.get_cookie(session_cookie_name(is_secure=is_secure))
            if cookie:
                return self._identify_by_session(cookie)
        return super().identify(guard)

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error; to a browser, without a Basic challenge.

        The challenge would open the browser's password dialog. The browser would then add the
        password to each request to the service, even from pages of other sites.
        """
        if isinstance(problem, Unauthorized) and is_from_browser(self.request.headers):
            return problem.bearer_challenge
        return problem.headers

    def send_problem(self, problem: Problem) -> None:
        """Respond with the document of an error, or redirect to the page that signs in."""
        location = self._sign_in_location() if isinstance(problem, Unauthorized) else None
        if location is None:
            super().send_problem(problem)
        else:
            self.respond(HTTPStatus.SEE_OTHER, (("Location", location),))

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

    async def _identify_by_session(self, cookie: str) -> Identity:
        session = await self.application.services.sessions.identify(cookie, self.origin)
        return session.identity

    def _sign_in_location(self) -> str | None:
        if self.request.query_arguments.get(_SIGN_IN.name) != [b"true"]:
            return None
        if "Authorization" in self.request.headers:
            # A session would not help: Authorization takes precedence.
            return None
        if not self.application.addresses.trusts(self.request.remote_ip or ""):
            return None
        return self.application.sign_in_redirects.find_location(self.request.headers)


routes = [(r"/api/verify", VerifyHandler)]
