"""A refused token is renewed, once for all who were refused, and the call made once more."""

import asyncio

import pytest

from tests.client.conftest import EMAIL
from tests.harness.api import PASSWORD
from tests.harness.flavours import Driven, Flavour
from tests.harness.other_servers import answering, http_answer
from userauth_client import (
    AsyncUserAuthClient,
    InvalidArgumentError,
    NotFound,
    Token,
    Unauthorized,
    UnexpectedAnswerError,
    UserAuthClient,
)

MANY = 50
REFUSAL = http_answer(
    401, b'{"title": "The token is not valid"}', media_type="application/problem+json"
)


class Renewals:
    """A callback that counts, and logs in by another client."""

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


def test_a_revoked_token_is_renewed_and_the_call_made_again(
    client: Driven, another: UserAuthClient, renewals: Renewals
) -> None:
    susan = client.with_token(another.log_in(EMAIL, PASSWORD), renew=renewals)
    assert susan.get_user().email == EMAIL
    assert renewals.count == 0
    another.with_password(EMAIL, PASSWORD).end_tokens()
    assert susan.update_user(name="Susan").name == "Susan"
    assert susan.get_user().name == "Susan"
    assert renewals.count == 1


def test_a_client_without_a_token_gets_its_first_one_the_same_way(
    url: str, flavour: Flavour, renewals: Renewals
) -> None:
    client = flavour.open(url, renew=renewals)
    assert client.get_user().email == EMAIL
    assert client.get_user().email == EMAIL
    assert renewals.count == 1


def test_fifty_calls_that_are_refused_at_once_renew_once(
    client: Driven, flavour: Flavour, renewals: Renewals
) -> None:
    susan = client.with_token("no.good", renew=renewals)
    users = flavour.at_once([susan.client.get_user] * MANY)
    assert {user.email for user in users} == {EMAIL}
    assert renewals.count == 1


def test_fifty_calls_that_are_refused_share_the_failure_of_a_renewal(flavour: Flavour) -> None:
    failures = []
    with answering(REFUSAL) as other:

        def renew() -> str:
            other.wait_for(MANY)
            failures.append(LookupError("The keyring is locked."))
            raise failures[-1]

        susan = flavour.open(other.url, token="no.good", renew=renew)
        errors = flavour.at_once([susan.client.get_user] * MANY)
        assert len(other.heads) == MANY
    assert len(failures) == 1
    assert set(errors) == set(failures)


def test_a_token_that_was_renewed_meanwhile_is_used(flavour: Flavour) -> None:
    renewed = []
    with answering(REFUSAL) as other:

        def renew() -> str:
            other.wait_for(MANY)
            renewed.append("new.token")
            return renewed[-1]

        susan = flavour.open(other.url, token="no.good", renew=renew)
        flavour.at_once([susan.client.get_user] * MANY)
        presented = [head.partition("Bearer ")[2].split()[0] for head in other.heads]
    assert len(renewed) == 1
    assert sorted(presented) == ["new.token"] * MANY + ["no.good"] * MANY


def test_a_call_after_a_failed_renewal_tries_anew(client: Driven, another: UserAuthClient) -> None:
    another.register(EMAIL, PASSWORD)
    outcomes: list[str] = ["", another.log_in(EMAIL, PASSWORD).value]

    def renew() -> str:
        if not (outcome := outcomes.pop(0)):
            raise LookupError("The keyring is locked.")
        return outcome

    susan = client.with_token("no.good", renew=renew)
    with pytest.raises(LookupError):
        susan.get_user()
    assert susan.get_user()


def test_a_new_token_that_is_refused_as_well_is_not_renewed_again(
    client: Driven,
) -> None:
    asked: list[str] = []

    def renew() -> str:
        asked.append("once")
        return "no.better"

    susan = client.with_token("no.good", renew=renew)
    with pytest.raises(Unauthorized) as raised:
        susan.get_user()
    assert len(asked) == 1
    assert raised.value.__context__ is None


@pytest.mark.parametrize("nonsense", [None, "", "a\r\nb", "ünïcode", 7])
def test_what_is_no_token_is_not_sent(client: Driven, nonsense: str) -> None:
    susan = client.with_token("no.good", renew=lambda: nonsense)
    with pytest.raises(InvalidArgumentError):
        susan.get_user()


def test_nothing_but_a_refused_token_renews(client: Driven, renewals: Renewals) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    with pytest.raises(NotFound):
        susan.end_token("7c9f")
    nobody = client.with_token("no.good", renew=renewals)
    with pytest.raises(Unauthorized):
        nobody.log_in(EMAIL, "a wrong password")
    with pytest.raises(Unauthorized):
        nobody.introspect("no.good")
    with pytest.raises(Unauthorized):
        nobody.log_out()
    assert renewals.count == 1


def test_a_401_of_a_proxy_renews_nothing(flavour: Flavour) -> None:
    page = http_answer(401, b"<h1>Who are you?</h1>", media_type="text/html")
    with answering(page) as other:
        client = flavour.open(other.url, token="a.b", renew=lambda: "c.d")
        with pytest.raises(UnexpectedAnswerError, match="problem document"):
            client.get_user()
        assert len(other.heads) == 1


@pytest.mark.parametrize("end", ["log_out", "end_tokens", "delete_user"])
def test_after_a_log_out_nothing_logs_in_again(
    client: Driven, renewals: Renewals, end: str
) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    getattr(susan, end)()
    with pytest.raises(Unauthorized) as raised:
        susan.get_user()
    assert raised.value.type == "/docs/problems.md#credentials-missing"
    assert renewals.count == 1


def test_a_client_that_ends_the_other_tokens_goes_on_renewing(
    client: Driven, another: UserAuthClient, renewals: Renewals
) -> None:
    susan = client.with_token(renewals(), renew=renewals)
    susan.end_tokens(keep_current=True)
    another.with_password(EMAIL, PASSWORD).end_tokens()
    assert susan.get_user()
    assert renewals.count == 2


def test_a_renewal_that_uses_the_client_itself_does_not_wait_for_itself(url: str) -> None:
    with UserAuthClient(url) as client:
        client.register(EMAIL, PASSWORD)

        def renew() -> Token:
            with pytest.raises(Unauthorized):
                susan.get_user()
            return susan.log_in(EMAIL, PASSWORD)

        susan = client.with_token("no.good", renew=renew)
        assert susan.get_user()


def test_an_async_renewal_that_uses_the_client_itself_does_not_wait_for_itself(url: str) -> None:
    async def use() -> None:
        async with AsyncUserAuthClient(url) as client:
            await client.register(EMAIL, PASSWORD)

            async def renew() -> Token:
                with pytest.raises(Unauthorized):
                    await susan.get_user()
                return await susan.log_in(EMAIL, PASSWORD)

            susan = client.with_token("no.good", renew=renew)
            assert await susan.get_user()

    asyncio.run(use())


def test_a_task_that_is_cancelled_while_it_renews_leaves_it_to_the_next(url: str) -> None:
    async def use() -> None:
        async with AsyncUserAuthClient(url) as client:
            await client.register(EMAIL, PASSWORD)
            has_begun, count = asyncio.Event(), 0

            async def renew() -> Token:
                nonlocal count
                count += 1
                if count == 1:
                    has_begun.set()
                    await asyncio.Event().wait()
                return await client.log_in(EMAIL, PASSWORD)

            susan = client.with_token("no.good", renew=renew)
            first, second = (asyncio.create_task(susan.get_user()) for _ in range(2))
            await has_begun.wait()
            first.cancel()
            assert (await second).email == EMAIL
            with pytest.raises(asyncio.CancelledError):
                await first
            assert count == 2

    asyncio.run(use())
