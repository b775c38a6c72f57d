"""A person who is signed in, and what the database has about the account."""

from tests.harness.api import PASSWORD, Api
from tests.harness.form_browser import FormBrowser
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
ACCOUNT = "/auth/account"
WRONG = "wrong horse battery"
NEW_PASSWORD = "another horse battery"


async def signed_in(
    api: Api, browser: FormBrowser, email: str = EMAIL, *, name: str | None = None
) -> None:
    """Register a user, and sign in."""
    assert (await api.register(email, name=name)).status == 201
    assert (await browser.sign_in(email, PASSWORD)).status == 303


def event_kinds(dsn: str) -> list[str]:
    return [kind for (kind,) in run_sql(dsn, "SELECT kind FROM events ORDER BY kind")]


def event_kinds_in_order(dsn: str) -> list[str]:
    """Return the kinds of all events, oldest first."""
    return [kind for (kind,) in run_sql(dsn, "SELECT kind FROM events ORDER BY id")]


def session_ids(dsn: str) -> list[str]:
    """Return the ids of the sessions that are not revoked, oldest first."""
    rows = run_sql(
        dsn,
        "SELECT id FROM tokens WHERE revoked_at IS NULL AND kind = 'session' ORDER BY created_at",
    )
    return [str(token_id) for (token_id,) in rows]
