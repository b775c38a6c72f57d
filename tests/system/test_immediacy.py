"""Revocation without staleness: two processes on one database, and racing clients."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.command_line import manage
from tests.harness.processes import running_server

NEW_PASSWORD = "another horse battery"


@pytest.fixture
def urls(dsn: str, tmp_path: Path) -> Iterator[list[str]]:
    """Run two servers on one database."""
    variables = {"DATABASE_URL": dsn}
    with (
        running_server(variables, tmp_path / "one") as one,
        running_server(variables, tmp_path / "two") as two,
    ):
        yield [one.url, two.url]


async def status_of(api: Api, token: str) -> int:
    return (await api.request("GET", "/api/user", authorization=bearer(token))).status


async def is_let_in(api: Api, token: str, service: str, number: int) -> bool:
    """Present a token, in one of the three ways in which one is checked."""
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


async def probe_until_refused(
    api: Api, token: str, service: str, number: int, revoked: asyncio.Event
) -> int:
    """Use a token again and again; return how often it got in after its revocation was told."""
    while True:
        told = revoked.is_set()
        got_in = await is_let_in(api, token, service, number)
        if told:
            return int(got_in)


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


async def end_one(api: Api, email: str, token: str, _service: str) -> Answer:
    path = f"/api/user/tokens/{token.split('.', maxsplit=1)[0]}"
    return await api.request("DELETE", path, authorization=basic(email, PASSWORD))


async def end_all(api: Api, email: str, _token: str, _service: str) -> Answer:
    return await api.request("DELETE", "/api/user/tokens", authorization=basic(email, PASSWORD))


async def revoke(api: Api, _email: str, token: str, service: str) -> Answer:
    return await call_for_service(api, "revoke", token, service)


@pytest.mark.parametrize("end", [delete_user, change_password, log_out, end_one, end_all, revoke])
def test_a_revoked_token_is_out_at_once_on_every_process(
    urls: list[str], dsn: str, end: Revoke
) -> None:
    """Revoke a token on one server while many clients use it on both, in each way."""

    async def race() -> None:
        apis = [Api(url) for url in urls]
        for number in range(8):
            email = f"susan{number}@example.com"
            token = await apis[0].registered_token(email)
            revoked = asyncio.Event()
            probes = [
                asyncio.create_task(
                    probe_until_refused(apis[index % 2], token, service, index, revoked)
                )
                for index in range(18)
            ]
            await asyncio.sleep(0)
            answer = await end(apis[0], email, token, service)
            assert answer.status in {200, 204}
            revoked.set()
            assert sum(await asyncio.gather(*probes)) == 0
        for api in apis:
            api.close()

    made = json.loads(manage("clients", "add", "service", "--json", DATABASE_URL=dsn).stdout)
    service = basic(made["id"], made["secret"])
    asyncio.run(race())


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_a_log_in_that_races_is_in_or_out_never_both(urls: list[str], method: str) -> None:
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


def test_of_twenty_registrations_of_one_address_one_wins(urls: list[str]) -> None:
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


def test_a_change_by_a_token_that_was_revoked_meanwhile_is_refused(urls: list[str]) -> None:
    """Whoever stole a token must not win the race against its owner's change of password."""

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
