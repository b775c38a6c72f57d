"""Sessions of browsers: created, identified, ended, replaced, and limited in number and time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from tornado.ioloop import IOLoop

from db.rows import TokenRow
from handlers.application import Application
from rules.credentials import PasswordCredentials, TokenCredentials
from rules.errors import CredentialsInvalid, TokenInvalid
from rules.origin import LocalOrigin
from services.all_services import Services
from services.identities import Identity
from services.sessions import IssuedSession, Session
from settings import Settings
from tests.harness.accounts import event_kinds_in_order
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.databases import unchecked_schema
from tests.harness.sql import run_sql
from wiring.application import open_application

EMAIL = "susan@example.com"
ORIGIN = LocalOrigin(user_agent="Firefox", user_ip="192.0.2.1")
HOUR = 3600
DAY = 24 * HOUR


class Browser:
    """A browser with one cookie, on the services of an application."""

    def __init__(self, app: Application) -> None:
        self.services = app.services
        self.cookie: str | None = None

    async def identity(self, email: str = EMAIL, password: str = PASSWORD) -> Identity:
        credentials = PasswordCredentials(email, password)
        return await self.services.identities.identify_by_password(credentials, ORIGIN)

    async def sign_in(self, email: str = EMAIL, *, keep: bool = False) -> IssuedSession:
        issued = await self.services.sessions.create(
            await self.identity(email), ORIGIN, keep_signed_in=keep, replaced=self.cookie
        )
        self.cookie = issued.token
        return issued

    async def session(self) -> Session:
        assert self.cookie is not None
        return await self.services.sessions.identify(self.cookie, ORIGIN)

    async def is_signed_in(self) -> bool:
        try:
            await self.session()
        except TokenInvalid:
            return False
        return True


@pytest.fixture
def browser(app: Application) -> Browser:
    return Browser(app)


@pytest.fixture
def other(app: Application) -> Browser:
    """Return another browser of the same user."""
    return Browser(app)


@pytest.fixture
def second(
    io_loop: IOLoop, settings: Settings, keys: list[str], dsn: str, clock: Clock
) -> Iterator[Application]:
    """Open the application of another process on the same database."""
    stack = AsyncExitStack()

    async def enter() -> Application:
        return await stack.enter_async_context(open_application(settings, keys, dsn, clock))

    with unchecked_schema():
        yield io_loop.run_sync(enter)
    io_loop.run_sync(stack.aclose)


def events(dsn: str) -> list[str]:
    return event_kinds_in_order(dsn)[1:]


def revocations(app: Application) -> dict[str, int]:
    return {reason: count for reason, count in app.services.audit.counts.revoked.items() if count}


async def listed(browser: Browser) -> list[TokenRow]:
    return await browser.services.tokens.find_all((await browser.session()).identity)


@pytest.mark.gen_test
async def test_a_session_is_created_identified_and_revoked(
    api: Api, app: Application, browser: Browser, dsn: str
) -> None:
    await api.register()
    issued = await browser.sign_in()
    assert (issued.expires_in, issued.is_kept) == (DAY, False)
    session = await browser.session()
    assert (session.user.email, session.is_kept) == (EMAIL, False)
    lifetime = "SELECT extract(epoch FROM expires_at - created_at)::int FROM tokens"
    assert run_sql(dsn, lifetime) == [(DAY,)]
    await app.services.sessions.revoke(session, ORIGIN)
    assert not await browser.is_signed_in()
    # Repeatable: a second tab signs out, too.
    await app.services.sessions.revoke(session, ORIGIN)
    assert events(dsn) == ["logged-in", "token-ended"]
    assert revocations(app) == {"logged-out": 1}


@pytest.mark.gen_test
async def test_the_cookie_of_a_session_is_no_token(
    api: Api, app: Application, browser: Browser
) -> None:
    await api.register()
    await browser.sign_in()
    cookie = str(browser.cookie)
    for path in ("/api/user", "/api/verify", "/api/user/tokens"):
        answer = await api.request("GET", path, authorization=bearer(cookie))
        assert (answer.status, answer.problem) == (401, "token-invalid")
    answer = await api.request("GET", "/api/user", authorization=f"Basic {cookie}")
    assert answer.status == 401
    with pytest.raises(TokenInvalid):
        await app.services.identities.identify(TokenCredentials(cookie), ORIGIN)
    assert await app.services.tokens.introspect(cookie) is None
    await app.services.tokens.revoke_for_client(cookie, "a client", ORIGIN)
    assert await browser.is_signed_in()


@pytest.mark.gen_test
async def test_a_token_is_no_session(api: Api, browser: Browser) -> None:
    browser.cookie = await api.registered_token()
    assert not await browser.is_signed_in()
    for cookie in ("", "x", "é" * 10, "a.1.b" * 40):
        browser.cookie = cookie
        assert not await browser.is_signed_in()


@pytest.mark.parametrize(("kind", "is_session"), [("token", False), ("session", True)])
@pytest.mark.gen_test
async def test_the_row_has_to_be_of_the_kind_that_the_signature_says(
    api: Api, browser: Browser, dsn: str, kind: str, *, is_session: bool
) -> None:
    token = await api.registered_token()
    await browser.sign_in()
    run_sql(dsn, "UPDATE tokens SET kind = %s", (kind,))
    assert await browser.is_signed_in() is is_session
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert answer.status == (401 if is_session else 200)
    introspected = await browser.services.tokens.introspect(token)
    assert (introspected is None) is is_session


@pytest.mark.gen_test
async def test_a_session_ends_eight_hours_after_its_last_use(
    api: Api, app: Application, browser: Browser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in()
    clock.advance(8 * HOUR - 61)
    assert await browser.is_signed_in()
    await app.services.usage.write()
    clock.advance(7 * HOUR)
    assert await browser.is_signed_in()
    await app.services.usage.write()
    clock.advance(8 * HOUR)
    assert not await browser.is_signed_in()


@pytest.mark.gen_test
async def test_a_use_just_before_the_end_is_known_to_other_processes_at_once(
    api: Api, second: Application, browser: Browser, other: Browser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in()
    clock.advance(8 * HOUR - 1)
    assert await browser.is_signed_in()
    # Without the periodic write of the first process.
    clock.advance(2)
    other.services, other.cookie = second.services, browser.cookie
    assert await other.is_signed_in()


async def end(services: Services, session: Session) -> None:
    await services.sessions.revoke(session, ORIGIN)


async def revoke(services: Services, session: Session) -> None:
    await services.tokens.revoke(session.identity, session.token_id, ORIGIN)


async def revoke_all(services: Services, session: Session) -> None:
    await services.tokens.revoke_all(session.identity, ORIGIN, keep_current=False)


async def change_password(services: Services, session: Session) -> None:
    await services.accounts.update(session.identity, origin=ORIGIN, password="another horse")


async def delete(services: Services, session: Session) -> None:
    await services.accounts.delete(session.identity, ORIGIN)


@pytest.mark.parametrize("invalidate", [end, revoke, revoke_all, change_password, delete])
@pytest.mark.gen_test
async def test_a_revocation_ends_a_session_at_once_on_every_process(
    api: Api,
    second: Application,
    browser: Browser,
    other: Browser,
    invalidate: Callable[[Services, Session], Awaitable[None]],
) -> None:
    await api.register()
    await browser.sign_in()
    other.services, other.cookie = second.services, browser.cookie
    assert await other.is_signed_in()
    await invalidate(browser.services, await browser.session())
    assert not await other.is_signed_in()
    assert not await browser.is_signed_in()


@pytest.mark.gen_test
async def test_an_ended_session_is_not_revived_by_an_attempt(
    api: Api, app: Application, browser: Browser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in()
    clock.advance(8 * HOUR)
    for _ in range(2):
        assert not await browser.is_signed_in()
        await app.services.usage.write()


@pytest.mark.gen_test
async def test_a_session_in_use_ends_a_day_after_the_sign_in(
    api: Api, app: Application, browser: Browser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in()
    for _ in range(23):
        clock.advance(HOUR)
        assert await browser.is_signed_in()
        await app.services.usage.write()
    clock.advance(HOUR - 1)
    assert await browser.is_signed_in()
    clock.advance(1)
    assert not await browser.is_signed_in()


@pytest.mark.gen_test
async def test_a_kept_session_ends_thirty_days_after_the_sign_in(
    api: Api, browser: Browser, clock: Clock
) -> None:
    await api.register()
    issued = await browser.sign_in(keep=True)
    assert (issued.expires_in, issued.is_kept) == (30 * DAY, True)
    clock.advance(30 * DAY - 1)
    assert (await browser.session()).is_kept
    clock.advance(1)
    assert not await browser.is_signed_in()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET disabled_at = now()",
        "UPDATE tokens SET revoked_at = now()",
        "DELETE FROM tokens",
        "DELETE FROM users",
    ],
)
@pytest.mark.gen_test
async def test_a_session_is_valid_only_while_its_row_and_its_user_are(
    api: Api, browser: Browser, dsn: str, change: str
) -> None:
    await api.register()
    await browser.sign_in()
    assert await browser.is_signed_in()
    run_sql(dsn, change)
    assert not await browser.is_signed_in()


@pytest.mark.gen_test
async def test_a_sign_in_replaces_the_session_of_the_browser_and_no_other(
    api: Api, app: Application, browser: Browser, other: Browser, dsn: str
) -> None:
    await api.register()
    await other.sign_in()
    await browser.sign_in()
    first = browser.cookie
    await browser.sign_in()
    assert browser.cookie != first
    assert await browser.is_signed_in()
    assert await other.is_signed_in()
    browser.cookie = first
    assert not await browser.is_signed_in()
    assert events(dsn)[2:] == ["token-ended", "logged-in"]
    assert revocations(app) == {"replaced": 1}


@pytest.mark.gen_test
async def test_a_sign_in_replaces_the_session_of_another_user(
    api: Api, browser: Browser, dsn: str
) -> None:
    await api.register()
    await api.register("bob@example.com")
    await browser.sign_in()
    first = browser.cookie
    await browser.sign_in("bob@example.com")
    assert (await browser.session()).user.email == "bob@example.com"
    browser.cookie = first
    assert not await browser.is_signed_in()
    owner = "SELECT email FROM users JOIN events e ON user_id = users.id WHERE kind = 'token-ended'"
    assert run_sql(dsn, owner) == [(EMAIL,)]


@pytest.mark.parametrize("cookie", ["", "nonsense", "a token"])
@pytest.mark.gen_test
async def test_a_sign_in_ignores_a_cookie_that_is_no_session(
    api: Api, browser: Browser, cookie: str
) -> None:
    token = await api.registered_token()
    browser.cookie = token if cookie == "a token" else cookie
    await browser.sign_in()
    assert await browser.is_signed_in()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200


@pytest.mark.gen_test
async def test_a_sign_in_that_fails_replaces_nothing(api: Api, browser: Browser, dsn: str) -> None:
    await api.register()
    await browser.sign_in()
    identity = await browser.identity()
    run_sql(dsn, "UPDATE users SET password_version = password_version + 1")
    with pytest.raises(CredentialsInvalid):
        await browser.services.sessions.create(
            identity, ORIGIN, keep_signed_in=False, replaced=browser.cookie
        )
    assert await browser.is_signed_in()


@override_settings(SESSIONS__MAX_PER_USER=2, TOKENS__MAX_PER_USER=1)
@pytest.mark.gen_test
async def test_sessions_and_tokens_have_limits_of_their_own(
    api: Api, app: Application, browser: Browser, clock: Clock
) -> None:
    token = await api.registered_token()
    cookies = []
    for _ in range(3):
        clock.advance(1)
        browser.cookie = None
        cookies.append((await browser.sign_in()).token)
    for cookie, is_valid in zip(cookies, (False, True, True), strict=True):
        browser.cookie = cookie
        assert await browser.is_signed_in() is is_valid
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
    await api.token()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    assert await browser.is_signed_in()
    assert revocations(app) == {"surplus": 2}


@override_settings(SESSIONS__MAX_PER_USER=2)
@pytest.mark.gen_test
async def test_a_session_that_was_idle_for_too_long_counts_no_more(
    api: Api, browser: Browser, other: Browser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in(keep=True)
    clock.advance(1)
    await other.sign_in()
    clock.advance(8 * HOUR)
    other.cookie = None
    await other.sign_in()
    assert await browser.is_signed_in()
    assert [row.kind for row in await listed(browser)] == ["session", "session"]


@pytest.mark.gen_test
async def test_the_list_shows_tokens_and_sessions(api: Api, browser: Browser, clock: Clock) -> None:
    token = await api.registered_token()
    clock.advance(1)
    await browser.sign_in()
    answer = await api.request("GET", "/api/user/tokens", authorization=bearer(token))
    rows = answer.json["tokens"]
    assert [(row["kind"], row["current"]) for row in rows] == [("session", False), ("token", True)]
    assert (rows[0]["user_agent"], rows[0]["ip"]) == ("Firefox", "192.0.2.1")
    session = await browser.session()
    assert [row.id == session.token_id for row in await listed(browser)] == [True, False]


@pytest.mark.parametrize("path", ["/api/user/tokens/{id}", "/api/user/tokens"])
@pytest.mark.gen_test
async def test_a_token_revokes_sessions(api: Api, browser: Browser, path: str) -> None:
    token = await api.registered_token()
    await browser.sign_in()
    path = path.format(id=(await browser.session()).token_id) + "?keep_current=true" * (
        "{" not in path
    )
    answer = await api.request("DELETE", path, authorization=bearer(token))
    assert answer.status in {200, 204}
    assert not await browser.is_signed_in()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200


@pytest.mark.gen_test
async def test_a_session_revokes_the_others_of_its_user(
    api: Api, app: Application, browser: Browser, other: Browser
) -> None:
    token = await api.registered_token()
    await browser.sign_in()
    await other.sign_in()
    identity = (await browser.session()).identity
    assert await app.services.tokens.revoke_all(identity, ORIGIN, keep_current=True) == 2
    assert await browser.is_signed_in()
    assert not await other.is_signed_in()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.gen_test
async def test_a_new_password_replaces_the_session_and_revokes_the_others(
    api: Api, app: Application, browser: Browser, other: Browser, *, keep: bool
) -> None:
    token = await api.registered_token()
    await other.sign_in()
    await browser.sign_in(keep=keep)
    old, session = browser.cookie, await browser.session()
    replacement = app.services.sessions.sign_replacement(session, ORIGIN)
    browser.cookie = replacement.token
    # It is valid only once its row is inserted.
    assert not await browser.is_signed_in()
    await app.services.accounts.update(
        session.identity, origin=ORIGIN, password="another horse", replacement=replacement
    )
    assert (await browser.session()).is_kept is keep
    browser.cookie = old
    assert not await browser.is_signed_in()
    assert not await other.is_signed_in()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    assert revocations(app) == {"password-changed": 3}


@pytest.mark.gen_test
async def test_a_new_password_without_a_replacement_ends_the_session(
    api: Api, app: Application, browser: Browser
) -> None:
    await api.register()
    await browser.sign_in()
    identity = (await browser.session()).identity
    await app.services.accounts.update(identity, origin=ORIGIN, password="another horse")
    assert not await browser.is_signed_in()


@pytest.mark.gen_test
async def test_a_new_name_inserts_no_session(api: Api, app: Application, browser: Browser) -> None:
    await api.register()
    await browser.sign_in()
    session = await browser.session()
    replacement = app.services.sessions.sign_replacement(session, ORIGIN)
    await app.services.accounts.update(
        session.identity, origin=ORIGIN, name="Susan", replacement=replacement
    )
    assert [row.id for row in await listed(browser)] == [session.token_id]


@pytest.mark.gen_test
async def test_a_new_password_by_a_token_ends_every_session(api: Api, browser: Browser) -> None:
    token = await api.registered_token()
    await browser.sign_in()
    answer = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": "another horse"}
    )
    assert answer.status == 200
    assert not await browser.is_signed_in()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200


@pytest.mark.gen_test
async def test_a_write_by_a_session_that_was_revoked_meanwhile_is_rejected(
    api: Api, app: Application, browser: Browser
) -> None:
    await api.register()
    await browser.sign_in()
    session = await browser.session()
    await app.services.sessions.revoke(session, ORIGIN)
    with pytest.raises(TokenInvalid):
        await app.services.accounts.update(session.identity, origin=ORIGIN, name="Susan")


@pytest.mark.gen_test
async def test_two_sign_ins_of_one_browser_at_once_replace_its_session_once(
    api: Api, app: Application, browser: Browser
) -> None:
    await api.register()
    await browser.sign_in()
    identity = await browser.identity()
    create, old = app.services.sessions.create, browser.cookie
    both = (create(identity, ORIGIN, keep_signed_in=False, replaced=old) for _ in range(2))
    for issued in await asyncio.gather(*both):
        browser.cookie = issued.token
        assert await browser.is_signed_in()
    assert revocations(app) == {"replaced": 1}


@pytest.mark.gen_test
async def test_the_deletion_of_a_user_ends_sessions_and_removes_what_is_personal(
    api: Api, app: Application, browser: Browser, dsn: str
) -> None:
    await api.register()
    await browser.sign_in()
    await app.services.accounts.delete((await browser.session()).identity, ORIGIN)
    assert not await browser.is_signed_in()
    columns = "SELECT user_id, user_agent, ip, last_used_at, revoked_at IS NULL FROM tokens"
    assert run_sql(dsn, columns) == [(None, None, None, None, False)]
