"""Immediate revocation: two processes on one database, and racing clients."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlencode

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.command_line import manage
from tests.harness.processes import running_server

NEW_PASSWORD = "another horse battery"


@pytest.fixture
def urls(running_urls: list[str], dsn: str) -> list[str]:  # noqa: ARG001 - it empties the database
    """Return the URLs of two servers without users."""
    return running_urls


@pytest.fixture(scope="module")
def running_urls(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run two servers on one database."""
    folder = tmp_path_factory.mktemp("servers")
    variables = {
        "DATABASE_URL": postgres,
        # Of the logins that lose a race, any number may fail.
        "USERAUTH_THROTTLE__PAIR_FAILURES": "1000",
        "USERAUTH_THROTTLE__ACCOUNT_FAILURES": "1000",
    }
    with (
        running_server(variables, folder / "one") as one,
        running_server(variables, folder / "two") as two,
    ):
        yield [one.url, two.url]


async def status_of(api: Api, token: str) -> int:
    return (await api.request("GET", "/api/user", authorization=bearer(token))).status


async def is_accepted(api: Api, token: str, service: str, number: int) -> bool:
    """Return whether the server accepts a token, checked in one of three ways."""
    if number % 3 == 0:
        return await status_of(api, token) == 200
    if number % 3 == 1:
        answer = await api.request("GET", "/api/verify", authorization=bearer(token))
        assert answer.status in {200, 401}
        return answer.status == 200
    answer = await call_for_service(api, "introspect", token, service)
    return bool(answer.json["active"])


async def call_for_service(api: Api, name: str, token: str, service: str) -> Answer:
    answer = await api.request(
        "POST",
        f"/api/token/{name}",
        authorization=service,
        body=urlencode({"token": token}).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 200
    return answer


async def probe_until_rejected(
    api: Api, token: str, service: str, number: int, revoked: asyncio.Event
) -> int:
    """Use a token until after its revocation; return 1 if it was accepted after that, else 0."""
    while True:
        was_revoked = revoked.is_set()
        accepted = await is_accepted(api, token, service, number)
        if was_revoked:
            return int(accepted)


Revoke = Callable[[Api, str, str, str], Awaitable[Answer]]


async def delete_user(api: Api, _email: str, token: str, _service: str) -> Answer:
    return await api.request("DELETE", "/api/user", authorization=bearer(token))


async def change_password(api: Api, email: str, _token: str, _service: str) -> Answer:
    return await api.request(
        "PATCH",
        "/api/user",
        authorization=basic(email, PASSWORD),
        json_body={"password": NEW_PASSWORD},
    )


async def log_out(api: Api, _email: str, token: str, _service: str) -> Answer:
    return await api.request("POST", "/api/user/logout", authorization=bearer(token))


async def revoke_one(api: Api, email: str, token: str, _service: str) -> Answer:
    path = f"/api/user/tokens/{token.split('.', maxsplit=1)[0]}"
    return await api.request("DELETE", path, authorization=basic(email, PASSWORD))


async def revoke_all(api: Api, email: str, _token: str, _service: str) -> Answer:
    return await api.request("DELETE", "/api/user/tokens", authorization=basic(email, PASSWORD))


async def revoke(api: Api, _email: str, token: str, service: str) -> Answer:
    return await call_for_service(api, "revoke", token, service)


@pytest.mark.parametrize(
    "invalidate", [delete_user, change_password, log_out, revoke_one, revoke_all, revoke]
)
def test_a_revoked_token_is_rejected_immediately_by_every_process(
    urls: list[str], dsn: str, invalidate: Revoke
) -> None:
    """Revoke a token on one server while many clients use it on both, in each of the ways."""

    async def race() -> None:
        apis = [Api(url) for url in urls]
        for number in range(5):
            email = f"susan{number}@example.com"
            token = await apis[0].registered_token(email)
            revoked = asyncio.Event()
            probes = [
                asyncio.create_task(
                    probe_until_rejected(apis[index % 2], token, service, index, revoked)
                )
                for index in range(18)
            ]
            await asyncio.sleep(0)
            answer = await invalidate(apis[0], email, token, service)
            assert answer.status in {200, 204}
            revoked.set()
            assert sum(await asyncio.gather(*probes)) == 0
        for api in apis:
            api.close()

    made = json.loads(manage("clients", "add", "service", "--json", DATABASE_URL=dsn).stdout)
    service = basic(made["id"], made["secret"])
    asyncio.run(race())


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_a_login_that_races_with_a_revocation_either_succeeds_or_fails(
    urls: list[str], method: str
) -> None:
    async def use() -> None:
        apis = [Api(url) for url in urls]
        for number in range(6):
            email = f"susan{number}@example.com"
            await apis[0].register(email)
            log_ins = [asyncio.create_task(apis[index % 2].log_in(email)) for index in range(20)]
            change = await apis[0].request(
                method,
                "/api/user",
                authorization=basic(email, PASSWORD),
                json_body=None if method == "DELETE" else {"password": NEW_PASSWORD},
            )
            assert change.status == 200
            for answer in await asyncio.gather(*log_ins):
                assert answer.status in {200, 401}
                if answer.status == 200:
                    assert await status_of(apis[1], answer.json["token"]) == 401
        for api in apis:
            api.close()

    asyncio.run(use())


def test_one_of_twenty_concurrent_registrations_of_an_address_succeeds(urls: list[str]) -> None:
    async def use() -> None:
        apis = [Api(url) for url in urls]
        spellings = ("susan@example.com", "SUSAN@example.com", "Susan@Example.COM")
        answers = await asyncio.gather(
            *(apis[index % 2].register(spellings[index % 3]) for index in range(20))
        )
        assert sorted(answer.status for answer in answers) == [201] + [409] * 19
        for api in apis:
            api.close()

    asyncio.run(use())


def test_a_change_with_a_token_that_was_revoked_meanwhile_is_rejected(urls: list[str]) -> None:
    """A stolen token must not win the race against its owner's change of password."""

    async def use() -> None:
        apis = [Api(url) for url in urls]
        for number in range(6):
            email = f"susan{number}@example.com"
            stolen = await apis[0].registered_token(email)
            thief = [
                asyncio.create_task(
                    apis[1].request(
                        "PATCH",
                        "/api/user",
                        authorization=bearer(stolen),
                        json_body={"password": f"the thief's {index}"},
                    )
                )
                for index in range(8)
            ]
            owner = await apis[0].request(
                "PATCH",
                "/api/user",
                authorization=basic(email, PASSWORD),
                json_body={"password": NEW_PASSWORD},
            )
            answers = await asyncio.gather(*thief)
            assert {answer.status for answer in answers} <= {200, 401}
            if owner.status == 200:
                assert (await apis[0].log_in(email, NEW_PASSWORD)).status == 200
                assert await status_of(apis[1], stolen) == 401
        for api in apis:
            api.close()

    asyncio.run(use())
