"""A server with pages, and what people did there before a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from rules.message_kinds import MessageKind
from services.event_kinds import EventKind
from tests.harness.api import PASSWORD
from tests.harness.mail import MAIL, last_message, secrets_of
from tests.harness.mail_calls import Sent
from tests.harness.processes import running_server
from tests.harness.sql import run_sql

_LIMITS = {"MAIL__NETWORK_PER_HOUR": "100000", "MAIL__USER_PER_HOUR": "100000"}
# A throttled person still is when the page is shown.
_LIMITS |= {"MAIL__RECIPIENT_PER_HOUR": "100000", "THROTTLE__FIRST_DELAY_SECONDS": "600"}


@dataclass(frozen=True)
class PageSite:
    """The address of a server, and its database."""

    url: str
    dsn: str

    def register(self, email: str, name: str | None = None) -> None:
        """Create an account by the API."""
        body = {"email": email, "password": PASSWORD, "name": name}
        self._post("/api/user/register", body).raise_for_status()

    def log_in(self, email: str, user_agent: str = "curl/8") -> str:
        """Log in with another device; return the id of its token."""
        headers = {"User-Agent": user_agent}
        body = {"email": email, "password": PASSWORD}
        token = self._post("/api/user/login", body, headers).raise_for_status().json()["token"]
        found = httpx.get(
            f"{self.url}/api/user/tokens", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        return next(str(each["id"]) for each in found.json()["tokens"] if each["current"])

    def fail_to_log_in(self, email: str, times: int) -> None:
        """Log in with a wrong password."""
        for _ in range(times):
            self._post("/api/user/login", {"email": email, "password": "wrong horse battery"})

    def verify(self, email: str) -> None:
        """Verify an address, as its message does."""
        run_sql(self.dsn, "UPDATE users SET email_verified_at = now() WHERE email = %s", (email,))

    def insert_events(self, email: str, count: int) -> None:
        """Insert events of all kinds in turn."""
        kinds = [kind.value for kind in EventKind]
        run_sql(
            self.dsn,
            "INSERT INTO events (at, kind, outcome, user_id, ip, times)"
            " SELECT now(), (%s::text[])[1 + n %% %s], 'success', id, '2001:db8::1', 1 + n %% 2"
            " FROM users, generate_series(1, %s) AS n WHERE email = %s",
            (kinds, len(kinds), count, email),
        )

    def events(self, email: str) -> list[str]:
        """Return the ids of the events of a user, newest first."""
        rows = run_sql(
            self.dsn,
            "SELECT public_id FROM events JOIN users ON users.id = user_id WHERE email = %s"
            " ORDER BY events.id DESC",
            (email,),
        )
        return [str(row[0]) for row in rows]

    def message(self, kind: MessageKind, recipient: str) -> Sent:
        """Return the newest message of a kind to an address."""
        found = last_message(self.dsn, kind, recipient)
        return Sent(found, secrets_of(self.dsn, found))

    def _post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers=headers, timeout=30)


@contextmanager
def page_site(dsn: str, log: Path, **settings: str) -> Iterator[PageSite]:
    """Run a server that sends messages."""
    named = {f"USERAUTH_{name}": value for name, value in (MAIL | _LIMITS | settings).items()}
    with running_server({"DATABASE_URL": dsn, **named}, log) as running:
        yield PageSite(running.url, dsn)
