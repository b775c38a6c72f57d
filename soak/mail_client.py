"""A client that uses messages: to verify, reset, change an email address, and undo the change.

It makes one call at a time, and repeats calls whose outcome is unknown, so that it always knows the
expected state. Each message that a server acknowledged has to arrive.
"""

import asyncio
import itertools
import random
import time
from contextlib import suppress

from rules.message_kinds import MessageKind
from soak import calls
from soak.account import Account
from soak.calls import Call, Credentials, Endpoint, Fields, PasswordCredentials, TokenCredentials
from soak.connection import ApiResponse, BoundedConnection
from soak.fleet import SIZE
from soak.relay import Mail, Mailboxes
from soak.requester import Requester
from soak.tally import Tally

PREFIX = "mail"
ROUNDS = 6
ARRIVAL_SECONDS = 20.0
_MAX_REPETITIONS = 60
_PAUSE_SECONDS = 0.3
_WRONG_CODE = "00000000"


class Abandoned(Exception):
    """The client continues with another user: a message is late, or a fault was recorded."""


class MailClient:
    """Makes the calls of one user after another, each for some rounds."""

    def __init__(
        self,
        number: int,
        *,
        requester: Requester,
        mailboxes: Mailboxes,
        tally: Tally,
        generator: random.Random,
    ) -> None:
        self._number = number
        self._requester = requester
        self._mailboxes = mailboxes
        self._tally = tally
        self._random = generator
        self._numbers = itertools.count(1)
        self._connections = [BoundedConnection() for _ in range(SIZE)]
        self.accounts: list[Account] = []

    async def run(self, until: float) -> None:
        """Make calls until the end of the load."""
        while time.monotonic() < until:
            account = Account(self._new_email(), self._new_password())
            self.accounts.append(account)
            with suppress(Abandoned):
                await self._live(account, until)

    async def check(self) -> None:
        """Check the expected state on both servers."""
        for account, server in itertools.product(self.accounts, range(SIZE)):
            if account.is_certain:
                with suppress(Abandoned):
                    await self._check(account, server)

    def close(self) -> None:
        """Abort the connections."""
        for connection in self._connections:
            connection.close()

    async def _live(self, account: Account, until: float) -> None:
        await self._register(account)
        acts = (self._verify, self._reset, self._change_email)
        for _ in range(ROUNDS):
            if time.monotonic() > until:
                return
            await self._random.choice(acts)(account)
            await asyncio.sleep(self._random.uniform(0, 0.5))

    async def _register(self, account: Account) -> None:
        fields = Fields(email=account.email, password=account.password)
        # 409 if the first request was served and its response lost.
        response = await self._call(calls.REGISTER, {201}, fields, repeated={409})
        if response.status == 201:
            await self._await(account.email, MessageKind.VERIFICATION, set())
        account.is_certain = True

    async def _verify(self, account: Account) -> None:
        known = self._known(account.email, MessageKind.VERIFICATION)
        await self._call(calls.REQUEST_VERIFICATION, {202}, credentials=account.credentials)
        if account.is_verified:
            return
        mail = await self._await(account.email, MessageKind.VERIFICATION, known)
        await self._try_wrong_code(calls.VERIFY, mail, account.credentials)
        await self._call(calls.VERIFY, {200}, self._proof(mail), account.credentials)
        account.is_verified = True

    async def _reset(self, account: Account) -> None:
        response = await self._call(calls.REQUEST_RESET, {202}, Fields(email=account.email))
        kind = MessageKind.PASSWORD_RESET
        mail = await self._await(
            account.email, kind, set(), message_id=str(response.document["request"])
        )
        await self._try_wrong_code(calls.RESET, mail)
        await self._set_password(account, mail)

    async def _set_password(self, account: Account, mail: Mail) -> None:
        password = self._new_password()
        account.is_certain = False
        proof, since = self._proof(mail, password=password, is_anonymous=True), time.monotonic()
        # 422 if the first request was served and its response lost: then the password is set too.
        await self._call(calls.RESET, {200}, proof, repeated={422})
        account.set_password(password)
        account.is_verified = True
        self._mailboxes.expect_since(since, account.email, MessageKind.PASSWORD_CHANGED)
        await self._log_in(account.email, account.password, 200)
        await self._log_in(account.email, account.old_passwords[-1], 401)
        account.is_certain = True

    async def _change_email(self, account: Account) -> None:
        token = (await self._log_in(account.email, account.password, 200)).document["token"]
        credentials = TokenCredentials(str(token), self._random.randrange(calls.TOKEN_FORMS))
        email, was_verified = self._new_email(), account.is_verified
        fields = Fields(email=email, current_password=account.password)
        await self._call(calls.REQUEST_EMAIL, {202}, fields, credentials)
        mail = await self._await(email, MessageKind.EMAIL_CHANGE, set())
        known = self._known(account.email, MessageKind.EMAIL_UNDO)
        account.is_certain = False
        await self._call(calls.CHANGE_EMAIL, {200}, self._proof(mail), credentials)
        account.set_email(email)
        account.is_verified = True
        await self._log_in(email, account.password, 200)
        await self._log_in(account.old_emails[-1], account.password, 401)
        account.is_certain = True
        if was_verified:
            undo = await self._await(account.old_emails[-1], MessageKind.EMAIL_UNDO, known)
            if self._random.random() < 0.5:
                await self._undo(account, undo)

    async def _undo(self, account: Account, mail: Mail) -> None:
        email = account.old_emails.pop()
        known = self._known(email, MessageKind.UNDO_RESET)
        account.is_certain = False
        proof = self._proof(mail, is_anonymous=True)
        await self._call(calls.UNDO_EMAIL, {200}, proof, repeated={422})
        account.set_email(email)
        reset = await self._await(email, MessageKind.UNDO_RESET, known)
        await self._set_password(account, reset)

    async def _check(self, account: Account, server: int) -> None:
        read = Call(next(self._numbers), "final, mail", calls.READ, account.credentials)
        outcome = await self._requester.make(self._connections[server], read, server)
        expected = (200, account.email, account.is_verified)
        found: tuple[object, ...] = ()
        if response := outcome.response:
            of_user = response.document
            found = (response.status, of_user.get("email"), of_user.get("email_verified"))
        if found != expected:
            self._tally.fault("a user differs from what was acknowledged", f"{expected}: {found}")
        for password in account.old_passwords[-2:]:
            await self._log_in(account.email, password, 401)
        for email in account.old_emails[-2:]:
            await self._log_in(email, account.password, 401)

    async def _log_in(self, email: str, password: str, status: int) -> ApiResponse:
        return await self._call(
            calls.LOG_IN, {status}, credentials=PasswordCredentials(email, password)
        )

    async def _try_wrong_code(
        self, endpoint: Endpoint, mail: Mail, credentials: Credentials | None = None
    ) -> None:
        """Sometimes present a wrong code: it is rejected, and the correct one is still accepted."""
        if self._random.random() < 0.3 and mail.code != _WRONG_CODE:
            is_reset = endpoint is calls.RESET
            fields = Fields(
                code=_WRONG_CODE,
                request=mail.id if is_reset else None,
                password=self._new_password() if is_reset else None,
            )
            await self._call(endpoint, {422}, fields, credentials, kind="wrong code")

    def _proof(
        self, mail: Mail, *, password: str | None = None, is_anonymous: bool = False
    ) -> Fields:
        if self._random.random() < 0.5:
            return Fields(token=mail.token, password=password)
        return Fields(code=mail.code, request=mail.id if is_anonymous else None, password=password)

    def _known(self, recipient: str, kind: MessageKind) -> set[str]:
        return set(self._mailboxes.received(recipient, kind))

    async def _await(
        self, recipient: str, kind: MessageKind, known: set[str], *, message_id: str = ""
    ) -> Mail:
        """Return a new acknowledged message; if it is late, it is still expected."""
        self._mailboxes.expect(recipient, kind)
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            received = self._mailboxes.received(recipient, kind)
            new = [message_id] if message_id in received else sorted(received.keys() - known)
            if new and message_id in {"", new[0]}:
                return received[new[0]]
            await asyncio.sleep(0.05)
        self._tally.late_messages += 1
        raise Abandoned

    async def _call(
        self,
        endpoint: Endpoint,
        expected: set[int],
        fields: Fields = Fields(),  # noqa: B008 - frozen
        credentials: Credentials | None = None,
        *,
        repeated: frozenset[int] | set[int] = frozenset(),
        kind: str = "",
    ) -> ApiResponse:
        """Make a call until its outcome is known; return the response.

        ``repeated`` are further expected statuses if an earlier request may have been served.
        """
        allowed = set(expected)
        kind = kind or f"mail, {endpoint.path.removeprefix('/api/user/')}"
        for _ in range(_MAX_REPETITIONS):
            call = Call(next(self._numbers), kind, endpoint, credentials, fields)
            server = self._random.randrange(SIZE)
            outcome = await self._requester.make(self._connections[server], call, server)
            response = outcome.response
            if response is None:
                allowed |= repeated
                await asyncio.sleep(_PAUSE_SECONDS)
            elif response.status in allowed:
                return response
            else:
                self._tally.fault(f"{kind}: {response.status}", f"{outcome.describe()} {response}")
                raise Abandoned
        raise Abandoned

    def _new_email(self) -> str:
        return f"{PREFIX}{self._number}.{next(self._numbers)}@{calls.EMAIL_DOMAIN}"

    def _new_password(self) -> str:
        return f"pässword:{next(self._numbers)} {self._random.getrandbits(32):x}"
