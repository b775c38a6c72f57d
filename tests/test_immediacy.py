"""Revocation without staleness: two processes on one database, and racing clients."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import PASSWORD, Api, basic, bearer
from tests.processes import running_server

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


async def probe_until_refused(api: Api, token: str, revoked: asyncio.Event) -> int:
    """Use a token again and again; return how often it got in after its revocation was told."""
    too_late = 0
    while True:
        told = revoked.is_set()
        status = await status_of(api, token)
        assert status in {200, 401}
        if told:
            too_late += status == 200
            return too_late


async def race(urls: list[str], *, method: str, body: object, by_password: bool) -> None:
    """Revoke a token on one server while many clients use it on both."""
    apis = [Api(url) for url in urls]
    for number in range(10):
        email = f"susan{number}@example.com"
        token = await apis[0].registered_token(email)
        revoked = asyncio.Event()
        probes = [
            asyncio.create_task(probe_until_refused(apis[index % 2], token, revoked))
            for index in range(16)
        ]
        await asyncio.sleep(0)
        authorization = basic(email, PASSWORD) if by_password else bearer(token)
        answer = await apis[0].request(
            method, "/api/user", authorization=authorization, json_body=body
        )
        assert answer.status == 200
        revoked.set()
        assert sum(await asyncio.gather(*probes)) == 0
    for api in apis:
        api.close()


def test_a_deleted_users_token_is_out_at_once_on_every_process(urls: list[str]) -> None:
    asyncio.run(race(urls, method="DELETE", body=None, by_password=False))


def test_a_password_change_ends_tokens_at_once_on_every_process(urls: list[str]) -> None:
    asyncio.run(race(urls, method="PATCH", body={"password": NEW_PASSWORD}, by_password=True))


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
