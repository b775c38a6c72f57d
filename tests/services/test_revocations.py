"""What revokes writes rows of one user in one transaction, with the event.

If users were ever spread over several servers, a transaction on two of them would be confirmed
before both have committed it, and a revoked token could be accepted until then. Triggers record
the rows that each transaction writes.
"""

import ast
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from db import tokens
from handlers.application import Application
from rules.credentials import PasswordCredentials
from rules.origin import LocalOrigin
from services.administration import Administration
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import ROOT
from tests.harness.databases import TABLES
from tests.harness.mail import MAIL
from tests.harness.mail_calls import (
    EMAIL,
    NEW_PASSWORD,
    RESET,
    SETTINGS,
    UNDO,
    confirm,
    ready,
    request_reset,
    sent_by,
)
from tests.harness.sql import run_sql

ORIGIN = LocalOrigin()
WEEK = 7 * 86_400
REVOKERS = frozenset(name for name in vars(tokens) if name.startswith("revoke"))
# Functions of services/deletion.py, each of which revokes all tokens of a user.
DELETIONS = frozenset({"delete_account", "make_available", "remove_next_void_account"})
# Counts and reservations of the user's email addresses have no user.
OF_ADDRESSES = ("account:", "pair:")
_RECORD = """
CREATE SCHEMA recording;
CREATE TABLE recording.written (transaction text, relation text, old jsonb, new jsonb);
CREATE FUNCTION recording.record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- TG_TABLE_NAME is that of a partition.
    INSERT INTO recording.written
    SELECT pg_current_xact_id()::text, relname, to_jsonb(OLD), to_jsonb(NEW)
    FROM pg_class
    WHERE oid = coalesce(pg_partition_root(TG_RELID), TG_RELID);
    RETURN NULL;
END
$$;
"""
_TRIGGER = """
CREATE TRIGGER recorded AFTER INSERT OR UPDATE OR DELETE ON {}
FOR EACH ROW EXECUTE FUNCTION recording.record();
"""


@dataclass(frozen=True)
class Written:
    """A row that a transaction wrote, before and after."""

    relation: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]

    @property
    def users(self) -> set[str]:
        """Return the ids of the users whose row it is."""
        names = ("id",) if self.relation == "users" else ("user_id", "requester_id")
        ids = {row.get(name) for row in (self.old, self.new) for name in names}
        return {user_id for user_id in ids if user_id is not None}

    @property
    def revokes(self) -> bool:
        column = {"tokens": "revoked_at", "users": "disabled_at"}.get(self.relation)
        if column is None or not self.old or self.old[column] is not None:
            return False
        return not self.new or self.new[column] is not None


@dataclass(frozen=True)
class Recorded:
    """What was recorded: the rows of each transaction, and the functions that revoked."""

    dsn: str
    functions: set[str]

    def revocations(self) -> list[list[Written]]:
        """Return the transactions that revoked."""
        transactions: dict[str, list[Written]] = {}
        rows = run_sql(self.dsn, "SELECT transaction, relation, old, new FROM recording.written")
        for transaction, relation, old, new in rows:
            written = Written(relation, old or {}, new or {})
            transactions.setdefault(transaction, []).append(written)
        kept = [_without_claims(each) for each in transactions.values()]
        return [rows for rows in kept if any(row.revokes for row in rows)]


def _without_claims(rows: list[Written]) -> list[Written]:
    """Leave out the users that the transaction itself inserted: see db/user_emails.py."""
    claims = {row.new["id"] for row in rows if row.relation == "users" and not row.old}
    return [row for row in rows if not (row.relation == "users" and row.users <= claims)]


@pytest.fixture
def recorded(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Record the rows that are written, and which functions of the services revoke."""
    functions: set[str] = set()

    def recording(revoke: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        def call(*arguments: Any, **named: Any) -> Awaitable[Any]:
            frame = inspect.currentframe()
            while frame is not None:
                functions.add(frame.f_code.co_qualname)
                frame = frame.f_back
            return revoke(*arguments, **named)

        return call

    for name in REVOKERS:
        monkeypatch.setattr(tokens, name, recording(getattr(tokens, name)))
    # One table in each transaction: with the locks of several, it could deadlock with the server.
    run_sql(dsn, _RECORD)
    try:
        for table in TABLES:
            run_sql(dsn, _TRIGGER.format(table))
        yield Recorded(dsn, functions)
    finally:
        for table in TABLES:
            run_sql(dsn, f"DROP TRIGGER IF EXISTS recorded ON {table}")
        run_sql(dsn, "DROP SCHEMA recording CASCADE")


@dataclass(frozen=True)
class Server:
    """A server, and the services of commands on its database."""

    api: Api
    app: Application
    users: Administration
    dsn: str
    clock: Clock

    async def succeed(self, method: str, path: str, authorization: str, **body: object) -> None:
        answer = await self.api.request(
            method, path, authorization=authorization, json_body=body or None
        )
        assert answer.status in {200, 204}, answer

    async def sign_in(self, email: str, replaced: str | None = None) -> str:
        """Return the cookie of a new session."""
        services = self.app.services
        credentials = PasswordCredentials(email, PASSWORD)
        identity = await services.identities.identify_by_password(credentials, ORIGIN)
        issued = await services.sessions.create(
            identity, ORIGIN, keep_signed_in=False, replaced=replaced
        )
        return issued.token


@pytest.fixture
def server(api: Api, app: Application, users: Administration, dsn: str, clock: Clock) -> Server:
    return Server(api, app, users, dsn, clock)


async def change_the_password(server: Server) -> None:
    await server.api.registered_token()
    await server.succeed("PATCH", "/api/user", basic(EMAIL, PASSWORD), password=NEW_PASSWORD)


async def delete_the_user(server: Server) -> None:
    await server.api.registered_token()
    await server.succeed("DELETE", "/api/user", basic(EMAIL, PASSWORD))


async def log_in_too_often(server: Server) -> None:
    await server.api.registered_token()
    for _ in range(2):
        await server.api.token()


async def log_out(server: Server) -> None:
    token = await server.api.registered_token()
    await server.succeed("POST", "/api/user/logout", bearer(token))


async def replace_sessions(server: Server) -> None:
    """Replace a session of the same user, and then one of another user."""
    for email in (EMAIL, "bob@example.com"):
        await server.api.register(email)
    second = await server.sign_in(EMAIL, await server.sign_in(EMAIL))
    await server.sign_in("bob@example.com", second)


async def revoke_a_token(server: Server) -> None:
    token = await server.api.registered_token()
    token_id = token.partition(".")[0]
    await server.succeed("DELETE", f"/api/user/tokens/{token_id}", bearer(token))


async def revoke_all_tokens(server: Server) -> None:
    token = await server.api.registered_token()
    await server.succeed("DELETE", "/api/user/tokens", bearer(token))


async def revoke_for_a_client(server: Server) -> None:
    token = await server.api.registered_token()
    await server.app.services.tokens.revoke_for_client(token, "client", ORIGIN)


async def reset_the_password(server: Server) -> None:
    await server.api.registered_token()
    await server.api.log_in(EMAIL, "wrong password")
    sent = await sent_by(server.dsn, request_reset(server.api))
    assert (await confirm(server.api, RESET, sent.token)).status == 200


async def undo_a_change_of_address(server: Server) -> None:
    undo = await ready(server.api, server.dsn, UNDO)
    assert (await undo.send(server.api, undo.token)).status == 200


async def set_the_password(server: Server) -> None:
    await server.api.registered_token()
    await server.users.set_password(EMAIL, NEW_PASSWORD)


async def disable(server: Server) -> None:
    await server.api.registered_token()
    await server.users.disable(EMAIL)


async def revoke_tokens(server: Server) -> None:
    await server.api.registered_token()
    await server.users.revoke_tokens(EMAIL)


async def delete(server: Server) -> None:
    await server.api.registered_token()
    await server.users.delete(EMAIL)


async def register_a_void_address(server: Server) -> None:
    for _ in range(2):
        assert (await server.api.register(EMAIL)).status == 202
        server.clock.advance(WEEK + 1)


async def remove_void_users(server: Server) -> None:
    for email in (EMAIL, "bob@example.com"):
        assert (await server.api.register(email)).status == 202
    server.clock.advance(WEEK + 1)
    await server.app.services.registration.remove_void()


# How to reach each function of the services that revokes.
CALLS = {
    "Accounts._write_password": change_the_password,
    "Accounts.delete": delete_the_user,
    "Administration.delete": delete,
    "Administration.disable": disable,
    "Administration.revoke_tokens": revoke_tokens,
    "Administration.set_password": set_the_password,
    "EmailUndo._disable_password": undo_a_change_of_address,
    "Logins._replace": replace_sessions,
    "Logins._record_login": log_in_too_often,
    "Logins.log_out": log_out,
    "PasswordReset._set_password": reset_the_password,
    "Registration.register": register_a_void_address,
    "Registration.remove_void": remove_void_users,
    "Tokens.revoke": revoke_a_token,
    "Tokens.revoke_all": revoke_all_tokens,
    "Tokens.revoke_for_client": revoke_for_a_client,
}
REQUIRED = {**MAIL, "REGISTRATION__VERIFICATION": "required"}
LIMITED = {**SETTINGS, "TOKENS__MAX_PER_USER": 2}


def settings_of(function: str) -> dict[str, object]:
    return dict(REQUIRED if function.startswith("Registration.") else LIMITED)


def revokes(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="tokens"), attr=name):
            return name in REVOKERS
        case ast.Attribute(value=ast.Name(id="users"), attr=name):
            return name in {"delete_user", "disable"}
        case ast.Name(id=name):
            return name in DELETIONS
    return False


def test_every_function_that_revokes_is_called() -> None:
    found = set()
    for path in (ROOT / "services").glob("*.py"):
        if path.name == "deletion.py":
            continue
        for owner in ast.parse(path.read_text(encoding="utf-8")).body:
            for function in ast.walk(owner):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
                    if any(revokes(call) for call in calls):
                        assert isinstance(owner, ast.ClassDef)
                        found.add(f"{owner.name}.{function.name}")
    assert found == set(CALLS)


@pytest.mark.parametrize(
    ("settings", "function"),
    [(settings_of(function), function) for function in CALLS],
    indirect=["settings"],
    ids=list(CALLS),
)
@pytest.mark.gen_test
async def test_what_revokes_writes_rows_of_one_user_with_the_event(
    server: Server, recorded: Recorded, function: str
) -> None:
    await CALLS[function](server)
    assert function in recorded.functions
    revocations = recorded.revocations()
    assert revocations
    for rows in revocations:
        [user_id] = set().union(*(row.users for row in rows))
        events = [row for row in rows if row.relation == "events"]
        assert user_id in {event.new["user_id"] for event in events}
        counts = [row.new or row.old for row in rows if row.relation == "throttle"]
        assert all(count["subject"].startswith(OF_ADDRESSES) for count in counts)
        assert {row.relation for row in rows} <= set(TABLES) - {"clients"}
