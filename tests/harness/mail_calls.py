"""The calls that send messages, and those that take the proofs in them."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from rules.mail_secrets import MailSecrets
from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD, Answer, Api, basic
from tests.harness.configuration import KEY
from tests.harness.mail import MAIL, secrets_of
from tests.harness.sql import run_sql

# Without the messages of registrations.
SETTINGS = {**MAIL, "REGISTRATION__VERIFICATION": "off"}
EMAIL, NEW_EMAIL = "susan@example.com", "susan@example.org"
NEW_PASSWORD = "another horse battery"
RESET, VERIFICATION = "/api/user/password/reset", "/api/user/verification"
CHANGE, UNDO = "/api/user/email", "/api/user/email/undo"
SUSAN = basic(EMAIL, PASSWORD)


@dataclass(frozen=True)
class Sent:
    """A message in the database, and the secrets in it."""

    id: str
    secrets: MailSecrets

    @property
    def token(self) -> dict[str, object]:
        """Return the proof by token."""
        return {"token": self.secrets.token}

    @property
    def code(self) -> dict[str, object]:
        """Return the proof by code of a caller who is identified."""
        return {"code": self.secrets.code}

    @property
    def requested_code(self) -> dict[str, object]:
        """Return the proof by code of a caller who is not."""
        return {"request": self.id, "code": self.secrets.code}

    @property
    def wrong_code(self) -> str:
        return f"{(int(self.secrets.code) + 1) % 10**8:08}"


def message_ids(dsn: str, *, unsent: bool = False) -> set[str]:
    """Return the ids of the messages that are sent, or also of those that are not."""
    where = "" if unsent else " WHERE recipient IS NOT NULL"
    return {row[0] for row in run_sql(dsn, f"SELECT id FROM messages{where}")}  # noqa: S608


def read(dsn: str, message_id: str, key: str = KEY) -> Sent:
    return Sent(message_id, secrets_of(dsn, message_id, key))


async def sent_by(dsn: str, call: Coroutine[Any, Any, Answer], *, status: int = 202) -> Sent:
    """Send a request that succeeds, and return the one message that it sends."""
    before = message_ids(dsn)
    answer = await call
    assert answer.status == status, answer
    [message_id] = message_ids(dsn) - before
    return read(dsn, message_id)


def request_reset(api: Api, email: str = EMAIL) -> Coroutine[Any, Any, Answer]:
    return api.request("POST", RESET, json_body={"email": email})


def request_verification(api: Api, authorization: str = SUSAN) -> Coroutine[Any, Any, Answer]:
    return api.request("POST", VERIFICATION, authorization=authorization)


def request_change(
    api: Api, email: str = NEW_EMAIL, authorization: str = SUSAN, password: str = PASSWORD
) -> Coroutine[Any, Any, Answer]:
    body = {"email": email, "current_password": password}
    return api.request("POST", CHANGE, authorization=authorization, json_body=body)


def confirm(
    api: Api, path: str, proof: object, authorization: str | None = None
) -> Coroutine[Any, Any, Answer]:
    """Send a proof, with the new password that a reset takes."""
    body = proof
    if path.startswith(RESET) and isinstance(proof, dict):
        body = {"password": NEW_PASSWORD, **proof}
    if path != UNDO:
        path += "/confirm"
    return api.request("POST", path, authorization=authorization, json_body=body)


async def verify(api: Api, dsn: str, authorization: str = SUSAN) -> None:
    """Verify the address of a user."""
    sent = await sent_by(dsn, request_verification(api, authorization))
    assert (await confirm(api, VERIFICATION, sent.token, authorization)).status == 200


async def change(
    api: Api, dsn: str, email: str = NEW_EMAIL, authorization: str = SUSAN
) -> Sent | None:
    """Change the address of a user; return the undo, if one is sent."""
    sent = await sent_by(dsn, request_change(api, email, authorization))
    before = message_ids(dsn)
    answer = await confirm(api, CHANGE, sent.token, authorization)
    assert (answer.status, answer.json["email"]) == (200, email)
    undo = message_ids(dsn) - before
    return read(dsn, undo.pop()) if undo else None


@dataclass(frozen=True)
class Ready:
    """A proof that was not used, of a user who logs in with a token."""

    path: str
    sent: Sent
    authorization: str | None

    def send(self, api: Api, proof: object) -> Coroutine[Any, Any, Answer]:
        return confirm(api, self.path, proof, self.authorization)

    @property
    def token(self) -> dict[str, object]:
        return self.sent.token

    @property
    def code(self) -> dict[str, object]:
        return self.sent.code if self.authorization else self.sent.requested_code

    @property
    def wrong_code(self) -> dict[str, object]:
        return {**self.code, "code": self.sent.wrong_code}


KINDS = {
    RESET: MessageKind.PASSWORD_RESET,
    VERIFICATION: MessageKind.VERIFICATION,
    CHANGE: MessageKind.EMAIL_CHANGE,
    UNDO: MessageKind.EMAIL_UNDO,
}


async def ready(api: Api, dsn: str, path: str, email: str = EMAIL) -> Ready:
    """Register a user, and request a message whose proof a path takes."""
    authorization = f"Bearer {await api.registered_token(email)}"
    new = f"new.{email}"
    if path == UNDO:
        await verify(api, dsn, authorization)
        undo = await change(api, dsn, new, authorization)
        assert undo is not None
        return Ready(path, undo, None)
    calls = {
        RESET: lambda: request_reset(api, email),
        VERIFICATION: lambda: request_verification(api, authorization),
        CHANGE: lambda: request_change(api, new, authorization),
    }
    sent = await sent_by(dsn, calls[path]())
    return Ready(path, sent, None if path == RESET else authorization)
