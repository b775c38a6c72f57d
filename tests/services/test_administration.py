"""The administrator's services."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from rules.origin import LocalOrigin
from rules.passwords import PasswordHasher
from services.administration import UserNotFound
from services.all_services import AdministrationServices
from settings import Settings
from tests.harness.clock import Clock
from tests.harness.sql import run_sql
from wiring.database import open_database
from wiring.services import open_administration

EMAIL = "susan@example.com"


def administer(
    settings: Settings, dsn: str, work: Callable[[AdministrationServices], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with (
            open_database(settings, dsn) as database,
            open_administration(settings, database, Clock(), LocalOrigin()) as services,
        ):
            await work(services)

    asyncio.run(run())


def insert_user(dsn: str) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, 'x')",
        (EMAIL, EMAIL),
    )


def test_a_new_account_with_the_address_of_a_deleted_one_does_not_get_its_password(
    dsn: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = PasswordHasher.slot

    def slot_after_a_replacement(*arguments: object, **named: object) -> object:
        run_sql(dsn, "DELETE FROM users")
        insert_user(dsn)
        return slot(*arguments, **named)  # type: ignore[arg-type]

    async def work(services: AdministrationServices) -> None:
        with pytest.raises(UserNotFound):
            await services.users.set_password(EMAIL, "a new password")

    insert_user(dsn)
    monkeypatch.setattr(PasswordHasher, "slot", slot_after_a_replacement)
    administer(settings, dsn, work)
    assert run_sql(dsn, "SELECT password_hash FROM users") == [("x",)]
    assert run_sql(dsn, "SELECT kind FROM events") == []


def test_commands_start_no_threads_and_no_connections_beside_the_pool(
    dsn: str, settings: Settings
) -> None:
    async def work(services: AdministrationServices) -> None:
        await services.users.find_page(after="", most=1)
        connections = run_sql(
            dsn,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()",
        )
        assert connections == [(1,)]
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith("hashing") for name in names)
        assert len(asyncio.all_tasks()) == 1

    administer(settings, dsn, work)
