"""The end: the database and the servers are held against every book."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psycopg2

from soak.book import Book
from soak.calls import Call
from soak.client import Client
from soak.fleet import SIZE
from soak.tally import Tally
from soak.worlds import World

AT_ONCE = 20


@dataclass(slots=True)
class Row:
    """A user in the database, with the ids of the live tokens."""

    user_id: str
    name: str | None
    live: set[str] = field(default_factory=set)


def audit_database(dsn: str, books: Sequence[Book], tally: Tally) -> None:
    """Compare every row with the books, and let each book keep the worlds that fit."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, email, name FROM users")
        rows = {str(email): Row(str(user_id), name) for user_id, email, name in cursor.fetchall()}
        cursor.execute(
            "SELECT t.id, u.email FROM tokens t JOIN users u ON u.id = t.user_id"
            " WHERE t.revoked_at IS NULL"
        )
        for token_id, email in cursor.fetchall():
            rows[str(email)].live.add(str(token_id))
        cursor.execute("SELECT count(*) FROM tokens WHERE user_id IS NULL AND revoked_at IS NULL")
        orphans = (cursor.fetchone() or (0,))[0]
        cursor.execute("SELECT count(*), count(revoked_at) FROM tokens")
        all_tokens, revoked = cursor.fetchone() or (0, 0)
    print(f"database: {len(rows):,} users, {all_tokens:,} tokens, {revoked:,} of them revoked")
    if orphans:
        tally.fault(f"{orphans} tokens of deleted users are not revoked")
    for book in books:
        row = rows.pop(book.email, None)
        if not book.contradicted:
            _compare(book, row, tally)
    if rows:
        tally.fault(f"users that no book knows: {sorted(rows)[:5]}")


async def audit_requests(clients: Sequence[Client]) -> None:
    """Try tokens and passwords, good and old, on both servers."""
    places = asyncio.Semaphore(AT_ONCE)

    async def audit(client: Client) -> None:
        async with places:
            for server in range(SIZE):
                for call in _questions(client):
                    await client.make([call], server)

    await asyncio.gather(*(audit(client) for client in clients))


def _questions(client: Client) -> list[Call]:
    book, chooser = client.book, client.chooser
    passwords = {world.password for world in book.worlds if world.exists}
    calls = [chooser.read_by_token(token, "final, token") for token in sorted(book.tokens)[:40]]
    calls += [chooser.read_by_token(token, "final, old token") for token in book.dead_tokens]
    for password in passwords:
        calls.append(chooser.read_by_password(password, "final, password"))
        calls.append(chooser.log_in(password, "final, log in"))
    calls += [chooser.log_in(old, "final, old password") for old in book.old_passwords]
    return calls


def _compare(book: Book, row: Row | None, tally: Tally) -> None:
    known = {_token_id(token) for token in book.tokens}
    fitting = frozenset(world for world in book.worlds if _fits(world, row, known))
    if not fitting:
        tally.fault(
            f"{book.email}: the database has {row}, the book {sorted(map(str, book.worlds))}"
        )
        return
    book.worlds = fitting
    strangers = (row.live if row else set()) - known
    if len(strangers) > book.lost_log_ins:
        tally.fault(f"{book.email}: {len(strangers)} tokens that nobody was given")


def _fits(world: World, row: Row | None, known: set[str]) -> bool:
    if row is None or not world.exists:
        return row is None and not world.exists
    if world.user_id not in {None, row.user_id} or world.name != row.name:
        return False
    return row.live & known == {_token_id(token) for token in world.live}


def _token_id(token: str) -> str:
    return token.partition(".")[0]
