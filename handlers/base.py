"""The base of all handlers of the API: the checks of a request before its method runs."""

from collections.abc import Awaitable
from http import HTTPStatus

from contract.calls import Call, Guard
from handlers.input import InputHandler
from rules.credentials import Credentials, decode_authorization
from rules.errors import MailDisabled, Problem, Unauthorized
from services.identities import Identity
from transport.browsers import is_from_script
from transport.response import Fields


class BaseHandler(InputHandler):
    """A path. ``calls`` declare what its methods require, and prepare() enforces that."""

    def initialize(self) -> None:
        super().initialize()
        self._identity: Identity | None = None
        self._client_id: str | None = None

    @property
    def identity(self) -> Identity:
        """Return the authenticated user of a call that requires one."""
        if self._identity is None:
            raise RuntimeError("This call does not authenticate a user.")
        return self._identity

    @property
    def client_id(self) -> str:
        """Return the authenticated client of a call that requires one."""
        if self._client_id is None:
            raise RuntimeError("This call does not authenticate a client.")
        return self._client_id

    async def prepare(self) -> None:
        """Reject what can be rejected before the method runs.

        The order is that of docs/api.md: path, method, credentials, media type and size of the
        body, query, fields of the body.
        """
        self.begin()
        if not self.allows_plain_http:
            self.check_https()
        if self.request.method == "OPTIONS" and self.allowed_methods:
            return
        call = self.find_call()
        if call.needs_origin_check(self.request.method or ""):
            self.application.cross_origin.check(self.request)
        if call.guard is Guard.CLIENT:
            self._client_id = await self.application.services.clients.authenticate(
                self._credentials(), self.origin
            )
        elif call.guard is not Guard.ANYONE:
            self._identity = await self.identify(call.guard)
            self.user_id = self._identity.user.id
        self.check_enabled(call)
        self.check_input(call)

    def identify(self, guard: Guard) -> Awaitable[Identity]:
        """Identify the user by the credentials of the request."""
        identities = self.application.services.identities
        if guard in {Guard.PASSWORD, Guard.LOGIN}:
            return identities.identify_by_password(self._credentials(), self.origin)
        if guard is Guard.TOKEN:
            return identities.identify_by_token(self._credentials(), self.origin)
        return identities.identify(
            self._credentials(), self.origin, may_be_unverified=guard is Guard.UNVERIFIED_USER
        )

    def check_enabled(self, call: Call) -> None:
        """Reject a call that the settings disable."""
        if call.sends_message and not self.application.services.outbox.is_on:
            raise MailDisabled

    def options(self, *_path: str) -> None:
        """Respond with the methods of the path (RFC 9110, section 9.3.7)."""
        methods = ", ".join(self.allowed_methods)
        preflight = self.application.cross_origin.preflight_fields(self.request, methods)
        self.respond(HTTPStatus.NO_CONTENT, (("Allow", methods), *preflight))

    @property
    def cross_origin_fields(self) -> Fields:
        """Return the header fields for pages of other origins."""
        return self.application.cross_origin.fields(self.request)

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error; to a page's script, without a Basic challenge.

        The challenge would open the browser's password dialog over the page of the script.
        """
        if isinstance(problem, Unauthorized) and is_from_script(self.request.headers):
            return problem.bearer_challenge
        return super().problem_fields(problem)

    def _credentials(self) -> Credentials | None:
        return decode_authorization(self.request.headers.get("Authorization"))


class UnknownPathHandler(BaseHandler):
    """Every path that has no other handler: not found, with any method."""


class RejectedHeadHandler(BaseHandler):
    """Every path of a request whose head is rejected."""

    async def prepare(self) -> None:
        if self.exchange.problem is not None:
            raise self.exchange.problem
