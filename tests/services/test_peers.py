"""Servers on one database: a schema that one of them is too old for, and settings that differ."""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from db.errors import ServerTooOld
from db.lookups import open_lookups
from db.pool import Database
from db.schema_state import get_state, store_settings
from db.schema_version import VERSION
from rules.errors import DatabaseUnavailable
from services.peers import LOOK_SECONDS, Peers
from services.readiness import Readiness
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.sql import run_sql

OURS = {"tokens.keys": "a", "throttle.pair_failures": "b", "passwords.pepper": "c"}
THEIRS = OURS | {"throttle.pair_failures": "x"}
WARNING = "another server on this database has other values of"


@pytest.fixture
def state(dsn: str) -> Iterator[None]:
    """Begin with the state of a new database, and restore it after the test."""
    reset = (
        f"UPDATE userauth_schema SET version = {VERSION}, compatible_since = {VERSION},"  # noqa: S608
        " settings = NULL, settings_at = NULL"
    )
    run_sql(dsn, reset)
    yield
    run_sql(dsn, reset)


def peers(database: Database, clock: Clock, digests: Mapping[str, str]) -> Peers:
    return Peers(database, clock, lambda: digests)


async def stored(database: Database) -> Mapping[str, str] | None:
    """Return the digests that a server has stored."""
    async with database.connection() as connection:
        return (await get_state(connection)).settings


async def look_for(seconds: float, clock: Clock, *servers: Peers) -> None:
    """Let each server look as often as it does in that time."""
    end = clock() + seconds
    while clock() < end:
        clock.advance(LOOK_SECONDS)
        for server in servers:
            assert await server.look() == LOOK_SECONDS


@pytest.mark.usefixtures("state")
def test_a_server_beside_a_newer_one_works_until_the_schema_requires_a_newer_server(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        database.log_outages()
        lookups = open_lookups(database)
        ready, server = Readiness(lookups), peers(database, clock, OURS)
        run_sql(dsn, "UPDATE userauth_schema SET version = version + 1")
        await server.look()
        await ready.check_ready()
        run_sql(dsn, "UPDATE userauth_schema SET compatible_since = version")
        for _ in range(2):
            with pytest.raises(ServerTooOld, match=f"has schema version {VERSION + 1}"):
                await server.look()
            with pytest.raises(DatabaseUnavailable):
                await ready.check_ready()
            with pytest.raises(ServerTooOld):
                await lookups.users_by_email.find("susan@example.com")
            with pytest.raises(ServerTooOld):
                async with database.transaction():
                    raise AssertionError("a transaction began")
        await lookups.close()

    use(dsn, work)
    [message] = caplog.messages
    assert message == (
        f"The database has schema version {VERSION + 1}, which servers of version {VERSION + 1} and"
        f" later support, and this server has version {VERSION}: start a newer server: requests get"
        " 503 until a restart"
    )


@pytest.mark.usefixtures("state")
def test_servers_with_different_settings_notice_each_other(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        one, other = peers(database, clock, OURS), peers(database, clock, THEIRS)
        await look_for(60, clock, one, other)
        # It is not the turn of the second one to store its own yet.
        assert await stored(database) == OURS
        assert other.differing == ["throttle.pair_failures"]
        await look_for(240, clock, one, other)
        assert one.differing == other.differing == ["throttle.pair_failures"]
        # The other one is stopped.
        await look_for(240, clock, one)
        assert list(one.differing) == []
        assert caplog.messages == [message] * 2
        # It is started again: a new difference is logged again.
        await look_for(300, clock, one, other)
        assert caplog.messages == [message] * 4

    message = f"{WARNING} throttle.pair_failures: give all servers the same"
    with caplog.at_level(logging.WARNING):
        use(dsn, work)


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("changed", [{}, {"throttle.pair_failures": "x"}])
def test_a_setting_that_one_of_two_versions_lacks_is_no_difference(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture, changed: dict[str, str]
) -> None:
    newer = OURS | {"throttle.added": "d"} | changed
    del newer["passwords.pepper"]

    async def work(database: Database) -> None:
        servers = [peers(database, clock, digests) for digests in (OURS, newer)]
        await look_for(600, clock, *servers)
        assert [list(each.differing) for each in servers] == [list(changed)] * 2

    with caplog.at_level(logging.WARNING):
        use(dsn, work)
    assert len(caplog.messages) == 2 * len(changed)


@pytest.mark.usefixtures("state")
def test_the_settings_of_a_server_that_was_stopped_are_not_logged(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        await peers(database, clock, OURS).look()
        new = peers(database, clock, THEIRS)
        await new.look()
        await look_for(60, clock, new)
        assert new.differing == ["throttle.pair_failures"]
        await look_for(240, clock, new)
        assert list(new.differing) == []

    with caplog.at_level(logging.WARNING):
        use(dsn, work)
    assert caplog.messages == []


@pytest.mark.usefixtures("state")
def test_settings_that_another_server_has_stored_meanwhile_are_kept(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        at = datetime.fromtimestamp(clock(), UTC)
        async with database.connection() as connection:
            before = await get_state(connection)
            for settings in (THEIRS, OURS):
                await store_settings(connection, settings, at=at, before=before)
            assert (await get_state(connection)).settings == THEIRS

    use(dsn, work)


@pytest.mark.usefixtures("state")
def test_servers_with_the_same_settings_store_them_once(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        servers = [peers(database, clock, dict(OURS)) for _ in range(3)]
        began = clock()
        await look_for(600, clock, *servers)
        assert [each.differing for each in servers] == [(), (), ()]
        stored = "SELECT extract(epoch FROM settings_at)::float FROM userauth_schema"
        assert run_sql(dsn, stored) == [(began + LOOK_SECONDS,)]

    use(dsn, work)


@pytest.mark.usefixtures("state")
def test_a_restart_of_one_server_after_the_other_with_new_settings_is_not_logged(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        old = [peers(database, clock, OURS) for _ in range(3)]
        await look_for(120, clock, *old)
        new: list[Peers] = []
        while old:
            old.pop()
            new.append(peers(database, clock, THEIRS))
            await look_for(15, clock, *old, *new)
        await look_for(300, clock, *new)
        assert [each.differing for each in new] == [(), (), ()]

    with caplog.at_level(logging.WARNING):
        use(dsn, work)
    assert caplog.messages == []
