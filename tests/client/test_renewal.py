"""Renewal of a rejected token: once for all rejected calls, which are then sent again."""

import asyncio
from typing import Any

import pytest

from tests.harness.api import PASSWORD
from tests.harness.client_drivers import EMAIL, DrivenClient, Driver
from tests.harness.stub_server import http_response, stub_server
from userauth_client import (
    AsyncUserAuthClient,
    InvalidArgumentError,
    NotFound,
    Token,
    Unauthorized,
    UnexpectedResponseError,
    UserAuthClient,
)

MANY = 50
REJECTION = http_response(
    401, b'{"title": "The token is not valid"}', media_type="application/problem+json"
)


class Renewals:
    """A callback that logs in with another client and counts its calls."""

    def __init__(self, another: UserAuthClient, password: str = PASSWORD) -> None:
        self._another = another
        self._password = password
        self.count = 0

    def __call__(self) -> Token:
        self.count += 1
        return self._another.log_in(EMAIL, self._password)


@pytest.fixture
def renewals(another: UserAuthClient) -> Renewals:
    another.register(EMAIL, PASSWORD)
    return Renewals(another)


def test_a_revoked_token_is_renewed_and_the_call_sent_again(
    client: DrivenClient, another: UserAuthClient, renewals: Renewals
) -> None:
    susan = client.with_token(another.log_in(EMAIL, PASSWORD), renew=renewals)
    assert susan.get_user().email == EMAIL
    assert renewals.count == 0
    another.with_password(EMAIL, PASSWORD).revoke_tokens()
    assert susan.update_user(name="Susan").name == "Susan"
    assert susan.get_user().name == "Susan"
    assert renewals.count == 1


def test_a_client_without_a_token_gets_its_first_token_by_renewal(
    url: str, driver: Driver, renewals: Renewals
) -> None:
    client = driver.open(url, renew=renewals)
    assert client.get_user().email == EMAIL
    assert client.get_user().email == EMAIL
    assert renewals.count == 1


def test_fifty_calls_rejected_at_once_renew_once(
    client: DrivenClient, driver: Driver, renewals: Renewals
) -> None:
    susan = client.with_token("not.valid", renew=renewals)
    users = driver.run_concurrently([susan.client.get_user] * MANY)
    assert {user.email for user in users} == {EMAIL}
    assert renewals.count == 1


def test_fifty_rejected_calls_share_the_failure_of_one_renewal(driver: Driver) -> None:
    failures = []
    with stub_server(REJECTION) as stub:

        def renew() -> str:
            stub.wait_for(MANY)
            failures.append(LookupError("The keyring is locked."))
            raise failures[-1]

        susan = driver.open(stub.url, token="not.valid", renew=renew)
        errors = driver.run_concurrently([susan.client.get_user] * MANY)
        assert len(stub.requests) == MANY
    assert len(failures) == 1
    assert set(errors) == set(failures)


def test_calls_rejected_during_a_renewal_use_the_new_token(driver: Driver) -> None:
    renewed = []
    with stub_server(REJECTION) as stub:

        def renew() -> str:
            stub.wait_for(MANY)
            renewed.append("new.token")
            return renewed[-1]

        susan = driver.open(stub.url, token="not.valid", renew=renew)
        driver.run_concurrently([susan.client.get_user] * MANY)
        tokens = [request.partition("Bearer ")[2].split()[0] for request in stub.requests]
    assert len(renewed) == 1
    assert sorted(tokens) == ["new.token"] * MANY + ["not.valid"] * MANY


def test_a_call_after_a_failed_renewal_renews_again(
    client: DrivenClient, another: UserAuthClient
) -> None:
    another.register(EMAIL, PASSWORD)
    outcomes: list[str] = ["", another.log_in(EMAIL, PASSWORD).value]

    def renew() -> str:
        if not (outcome := outcomes.pop(0)):
            raise LookupError("The keyring is locked.")
        return outcome

    susan = client.with_token("not.valid", renew=renew)
    with pytest.raises(LookupError):
        susan.get_user()
    assert susan.get_user()


def test_a_renewed_token_that_is_rejected_is_not_renewed_again(
    client: DrivenClient,
) -> None:
    renewed: list[str] = []

    def renew() -> str:
        renewed.append("still.invalid")
        return renewed[-1]

    susan = client.with_token("not.valid", renew=renew)
    with pytest.raises(Unauthorized) as raised:
        susan.get_user()
    assert len(renewed) == 1
    assert raised.value.__context__ is None


@pytest.mark.parametrize("value", [None, "", "a\r\nb", "ünïcode", 7])
def test_a_renewed_value_that_is_not_a_token_is_not_sent(client: DrivenClient, value: str) -> None:
    susan = client.with_token("not.valid", renew=lambda: value)
    with pytest.raises(InvalidArgumentError):
        susan.get_user()


def test_only_a_rejected_token_is_renewed(client: DrivenClient, renewals: Renewals) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    with pytest.raises(NotFound):
        susan.revoke_token("7c9f")
    invalid = client.with_token("not.valid", renew=renewals)
    with pytest.raises(Unauthorized):
        invalid.log_in(EMAIL, "a wrong password")
    with pytest.raises(Unauthorized):
        invalid.introspect("not.valid")
    with pytest.raises(Unauthorized):
        invalid.log_out()
    assert renewals.count == 1


def test_a_401_from_a_proxy_renews_nothing(driver: Driver) -> None:
    page = http_response(401, b"<h1>Authorization Required</h1>", media_type="text/html")
    with stub_server(page) as stub:
        client = driver.open(stub.url, token="a.b", renew=lambda: "c.d")
        with pytest.raises(UnexpectedResponseError, match="problem document"):
            client.get_user()
        assert len(stub.requests) == 1


@pytest.mark.parametrize("method", ["log_out", "revoke_tokens", "delete_user"])
def test_a_client_does_not_renew_after_its_own_token_is_revoked(
    client: DrivenClient, renewals: Renewals, method: str
) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    getattr(susan, method)()
    with pytest.raises(Unauthorized) as raised:
        susan.get_user()
    assert raised.value.type == "/docs/problems.md#credentials-missing"
    assert renewals.count == 1


def test_a_client_that_revokes_the_other_tokens_still_renews_its_own(
    client: DrivenClient, another: UserAuthClient, renewals: Renewals
) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    susan.revoke_tokens(keep_current=True)
    another.with_password(EMAIL, PASSWORD).revoke_tokens()
    assert susan.get_user()
    assert renewals.count == 2


def test_a_renewal_that_uses_its_own_client_does_not_deadlock(url: str) -> None:
    with UserAuthClient(url) as client:
        client.register(EMAIL, PASSWORD)

        def renew() -> Token:
            with pytest.raises(Unauthorized):
                susan.get_user()
            return susan.log_in(EMAIL, PASSWORD)

        susan = client.with_token("not.valid", renew=renew)
        assert susan.get_user()


def test_an_async_renewal_that_uses_its_own_client_does_not_deadlock(url: str) -> None:
    async def scenario() -> None:
        async with AsyncUserAuthClient(url) as client:
            await client.register(EMAIL, PASSWORD)

            async def renew() -> Token:
                with pytest.raises(Unauthorized):
                    await susan.get_user()
                return await susan.log_in(EMAIL, PASSWORD)

            susan = client.with_token("not.valid", renew=renew)
            assert await susan.get_user()

    asyncio.run(scenario())


def test_after_a_cancelled_renewal_the_next_task_renews(url: str) -> None:
    async def scenario() -> None:
        async with AsyncUserAuthClient(url) as client:
            await client.register(EMAIL, PASSWORD)
            renewers: list[asyncio.Task[Any] | None] = []
            has_started = asyncio.Event()

            async def renew() -> Token:
                renewers.append(asyncio.current_task())
                if len(renewers) == 1:
                    has_started.set()
                    await asyncio.Event().wait()
                return await client.log_in(EMAIL, PASSWORD)

            susan = client.with_token("not.valid", renew=renew)
            tasks = [asyncio.create_task(susan.get_user()) for _ in range(2)]
            await has_started.wait()
            # Either task may have been rejected first.
            canceled, other = tasks if tasks[0] is renewers[0] else reversed(tasks)
            canceled.cancel()
            assert (await other).email == EMAIL
            with pytest.raises(asyncio.CancelledError):
                await canceled
            assert renewers == [canceled, other]

    asyncio.run(scenario())
