"""Locks on messages: a confirmation never waits for wrong codes that wait for it."""

import asyncio

import pytest

from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.mail_calls import (
    CHANGE,
    RESET,
    SETTINGS,
    UNDO,
    VERIFICATION,
    Ready,
    read,
    ready,
)
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

pytestmark = override_settings(**SETTINGS)
LOWEST, HIGHEST = "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"
LOCK = "SELECT FROM messages WHERE id = %s FOR UPDATE NOWAIT"
_INSERT_OTHERS = """
INSERT INTO messages (
    id, nonce, kind, user_id, recipient, email_digest, language, key_id, password_version,
    created_at, expires_at, is_urgent
)
SELECT
    unnest(%s::uuid[]), gen_random_uuid(), unnest(ARRAY['password-reset', 'email-undo']), user_id,
    recipient, email_digest, language, key_id, password_version, created_at, expires_at, false
FROM messages
WHERE id = %s
"""


def among_others(dsn: str, found: Ready, message_id: str) -> Ready:
    """Give a message another id, and its user two other messages, whose ids are between."""
    between = [LOWEST.replace("8000", "8001"), HIGHEST.replace("bfff", "bffe")]
    run_sql(dsn, "UPDATE messages SET id = %s WHERE id = %s", (message_id, found.sent.id))
    run_sql(dsn, _INSERT_OTHERS, (between, message_id))
    return Ready(found.path, read(dsn, message_id), found.authorization)


@pytest.mark.parametrize("path", [RESET, VERIFICATION, CHANGE, UNDO])
@pytest.mark.parametrize("own_id", [LOWEST, HIGHEST])
@pytest.mark.gen_test
async def test_a_confirmation_locks_the_messages_of_its_user_in_the_order_of_their_ids(
    api: Api, dsn: str, path: str, own_id: str
) -> None:
    """As a wrong code does, which locks all messages to an address."""
    found = among_others(dsn, await ready(api, dsn, path), own_id)
    ids = [
        row[0]
        for row in run_sql(dsn, "SELECT id FROM messages WHERE user_id IS NOT NULL ORDER BY id")
    ]
    assert found.sent.id == ids[-1 if own_id == HIGHEST else 0]
    with holding(dsn, LOCK, (ids[0],)) as holder:
        task = asyncio.create_task(found.send(api, found.token))
        await holder.sees_waiting(task)
        for message_id in ids:
            holder.run(LOCK, (message_id,))
        holder.commit()
    assert (await task).status == 200
