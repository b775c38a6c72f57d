"""What administrators do with users."""

import pytest

from rules.password_scheme import PasswordScheme
from rules.passwords import HashSlot
from services.administration import Administration
from services.named_users import UserNotFound
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"
ACCOUNTS = "SELECT failures, place FROM throttle WHERE subject LIKE 'account:%'"


@pytest.mark.gen_test
async def test_a_new_password_is_not_given_to_a_new_user_of_the_address(
    api: Api, users: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register(EMAIL)
    make = HashSlot.hash

    async def replace_user_and_hash(_slot: HashSlot, password: str) -> str:
        monkeypatch.setattr(HashSlot, "hash", make)
        await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert (await api.register(EMAIL)).status == 201
        return PasswordScheme(cost=4).hash(password)

    monkeypatch.setattr(HashSlot, "hash", replace_user_and_hash)
    with pytest.raises(UserNotFound):
        await users.set_password(EMAIL, NEW_PASSWORD)
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 401
    assert (await api.log_in(EMAIL)).status == 200


@pytest.mark.gen_test
async def test_a_deletion_deletes_the_count_of_the_account(
    api: Api, users: Administration, dsn: str
) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    assert len(run_sql(dsn, ACCOUNTS)) == 1
    await users.delete(EMAIL)
    assert run_sql(dsn, ACCOUNTS) == []


@pytest.mark.parametrize("change", ["set-password", "enable"])
@pytest.mark.gen_test
async def test_a_reset_clears_consecutive_failures_and_keeps_the_usual_network(
    api: Api, users: Administration, dsn: str, change: str
) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    [(failures, network)] = run_sql(dsn, ACCOUNTS)
    assert (failures, network is None) == (1, False)
    if change == "enable":
        await users.enable(EMAIL)
    else:
        await users.set_password(EMAIL, NEW_PASSWORD)
    assert run_sql(dsn, ACCOUNTS) == [(0, network)]
