"""What administrators do with users."""

import pytest

from handlers.application import Application
from rules.password_scheme import PasswordScheme
from rules.passwords import HashSlot
from services.administration import UserNotFound
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"
ACCOUNTS = "SELECT count(*) FROM throttle WHERE subject LIKE 'account:%'"


@pytest.mark.gen_test
async def test_a_new_password_is_not_given_to_a_new_user_of_the_address(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register(EMAIL)
    make = HashSlot.hash

    async def replaced(_slot: HashSlot, password: str) -> str:
        monkeypatch.setattr(HashSlot, "hash", make)
        await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert (await api.register(EMAIL)).status == 201
        return PasswordScheme(cost=4).hash(password)

    monkeypatch.setattr(HashSlot, "hash", replaced)
    with pytest.raises(UserNotFound):
        await app.services.administration.set_password(EMAIL, NEW_PASSWORD)
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 401
    assert (await api.log_in(EMAIL)).status == 200


@pytest.mark.gen_test
async def test_a_deletion_deletes_the_counts_of_the_account(
    api: Api, app: Application, dsn: str
) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    assert run_sql(dsn, ACCOUNTS) == [(1,)]
    await app.services.administration.delete(EMAIL)
    assert run_sql(dsn, ACCOUNTS) == [(0,)]


@pytest.mark.gen_test
async def test_a_new_password_and_enabling_reset_consecutive_failures_and_keep_the_network(
    api: Api, app: Application, dsn: str
) -> None:
    services = app.services
    await api.register(EMAIL)
    for change in (
        services.administration.set_password(EMAIL, NEW_PASSWORD),
        services.administration.enable(EMAIL),
    ):
        await api.log_in(EMAIL, "wrong password")
        [(failures, network)] = run_sql(
            dsn, "SELECT failures, place FROM throttle WHERE subject LIKE 'account:%'"
        )
        assert (failures, network is None) == (1, False)
        await change
        assert run_sql(
            dsn, "SELECT failures, place FROM throttle WHERE subject LIKE 'account:%'"
        ) == [(0, network)]
