"""The periodic tasks that a server runs from its start."""

import asyncio

from settings import Settings
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql
from wiring.application import open_application


@override_settings(**MAIL, REGISTRATION__VERIFICATION="required")
def test_a_server_deletes_expired_rows_and_void_registrations(
    dsn: str, settings: Settings, clock: Clock
) -> None:
    run_sql(
        dsn,
        "INSERT INTO tokens (id, created_at, expires_at)"
        " VALUES (gen_random_uuid(), %(at)s, %(at)s);"
        " INSERT INTO users (email, email_key, password_hash, verify_until)"
        " VALUES ('late@example.com', 'late@example.com', 'x', %(at)s)",
        {"at": "2020-01-01Z"},
    )
    left = "SELECT (SELECT count(*) FROM tokens), (SELECT count(*) FROM users)"

    async def run() -> None:
        async with asyncio.timeout(20), open_application(settings, [KEY], dsn, clock):
            while run_sql(dsn, left) != [(0, 0)]:
                await asyncio.sleep(0.005)

    asyncio.run(run())
