"""The checks at the end of a run: the database and the servers against every model."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psycopg2

from soak.calls import Call
from soak.client import Client
from soak.fleet import SIZE, Fleet
from soak.mail_client import PREFIX
from soak.model import UserModel
from soak.relay import Mailboxes
from soak.states import State
from soak.tally import Tally

MAX_CONCURRENT = 20
# Twice the memory at a thousand connections.
MAX_MEMORY_KIB = 200 * 1024
# Longer than a server waits for a relay that failed.
_DELIVERY_SECONDS, _DELIVERY_PAUSE_SECONDS = 90.0, 3.0


@dataclass(slots=True)
class Row:
    """A user in the database, with the ids of the valid tokens."""

    user_id: str
    name: str | None
    valid_ids: set[str] = field(default_factory=set)


def check_database(dsn: str, models: Sequence[UserModel], tally: Tally) -> None:
    """Compare every row with its model, and drop the states that do not match."""
    rows = _read_rows(dsn, tally)
    for model in models:
        row = rows.pop(model.email, None)
        if not model.contradicted:
            _compare(model, row, tally)
    unknown = sorted(email for email in rows if not email.startswith(PREFIX))
    if unknown:
        tally.fault(f"users in the database that are in no model: {unknown[:5]}")


def _read_rows(dsn: str, tally: Tally) -> dict[str, Row]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, email, name FROM users")
        rows = {str(email): Row(str(user_id), name) for user_id, email, name in cursor.fetchall()}
        cursor.execute(
            "SELECT t.id, u.email FROM tokens t JOIN users u ON u.id = t.user_id"
            " WHERE t.revoked_at IS NULL"
        )
        for token_id, email in cursor.fetchall():
            rows[str(email)].valid_ids.add(str(token_id))
        cursor.execute("SELECT count(*) FROM tokens WHERE user_id IS NULL AND revoked_at IS NULL")
        orphans = (cursor.fetchone() or (0,))[0]
        cursor.execute("SELECT count(*), count(revoked_at) FROM tokens")
        all_tokens, revoked = cursor.fetchone() or (0, 0)
    print(f"database: {len(rows):,} users, {all_tokens:,} tokens, {revoked:,} of them revoked")
    if orphans:
        tally.fault(f"{orphans} tokens of deleted users are not revoked")
    return rows


async def check_messages(dsn: str, mailboxes: Mailboxes, tally: Tally) -> None:
    """Wait until every acknowledged message has arrived; a missing one is a fault.

    Thousands may be deferred at the end, of all clients: the wait lasts while messages arrive.
    """
    arrived, deadline = -1, 0.0
    while mailboxes.missing():
        if mailboxes.arrived > arrived:
            arrived, deadline = mailboxes.arrived, time.monotonic() + _DELIVERY_SECONDS
        if time.monotonic() > deadline:
            break
        # Make messages due at once, despite leases of killed servers and delays after failures.
        with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as one:
            one.execute("UPDATE messages SET due_at = now() WHERE due_at > now()")
            tally.deferred_messages = max(tally.deferred_messages, one.rowcount)
        await asyncio.sleep(_DELIVERY_PAUSE_SECONDS)
    for missing in mailboxes.missing():
        tally.fault("acknowledged messages did not arrive", missing)


async def check_credentials(clients: Sequence[Client]) -> None:
    """Send valid and invalid tokens and passwords to both servers."""
    slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def check(client: Client) -> None:
        async with slots:
            for server in range(SIZE):
                for call in _calls(client):
                    await client.make([call], server)

    await asyncio.gather(*(check(client) for client in clients))


def check_servers(fleet: Fleet, tally: Tally) -> None:
    """Check that each server runs, with little memory, and logged no traceback."""
    for server in fleet.servers:
        server.sample()
        if server.peak_memory > MAX_MEMORY_KIB:
            tally.fault(f"server {server.number} used {server.peak_memory:,} KiB")
        code = server.exit_code()
        if code is not None:
            tally.fault(f"server {server.number} exited with {code}: {server.last_lines()}")
        for trace in server.traces():
            tally.fault(f"server {server.number} logged a traceback: {trace}")


def _calls(client: Client) -> list[Call]:
    model, generator = client.model, client.generator
    passwords = {state.password for state in model.states if state.exists}
    calls = [generator.read_by_token(token, "final, token") for token in sorted(model.tokens)[:40]]
    calls += [
        generator.read_by_token(token, "final, revoked token") for token in model.revoked_tokens
    ]
    for password in passwords:
        calls.append(generator.read_by_password(password, "final, password"))
        calls.append(generator.log_in(password, "final, log in"))
    calls += [generator.log_in(old, "final, old password") for old in model.old_passwords]
    return calls


def _compare(model: UserModel, row: Row | None, tally: Tally) -> None:
    known = {_token_id(token) for token in model.tokens}
    matching = frozenset(state for state in model.states if _matches(state, row, known))
    if not matching:
        states = sorted(map(str, model.states))
        tally.fault("database and model differ", f"{model.email}: {row}, {states}")
        return
    model.states = matching
    unknown = (row.valid_ids if row else set()) - known
    if len(unknown) > model.lost_logins:
        tally.fault("valid tokens that no client received", f"{len(unknown)} of {model.email}")


def _matches(state: State, row: Row | None, known: set[str]) -> bool:
    if row is None or not state.exists:
        return row is None and not state.exists
    if state.user_id not in {None, row.user_id} or state.name != row.name:
        return False
    return row.valid_ids & known == {_token_id(token) for token in state.valid_tokens}


def _token_id(token: str) -> str:
    return token.partition(".")[0]
