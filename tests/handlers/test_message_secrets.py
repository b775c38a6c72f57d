"""The secrets of messages: in no row, no log and no statement, and bound to signing keys."""

import asyncio

import pytest

from services.event_kinds import EventKind
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import Api, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, settings_with
from tests.harness.mail_calls import (
    CHANGE,
    RESET,
    SETTINGS,
    UNDO,
    VERIFICATION,
    Sent,
    confirm,
    message_ids,
    read,
    ready,
    request_reset,
    sent_by,
)
from tests.harness.row_locks import holding
from tests.harness.sql import all_text, run_sql

NEW_KEY = "nQ7pXz2LrB7vNcY0mSgD5Jf8EuTaZk4tW9h"
paths = pytest.mark.parametrize("path", [RESET, VERIFICATION, CHANGE, UNDO])


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_with(**SETTINGS, **getattr(request, "param", {}))


def parts_of(sent: Sent) -> tuple[str, str]:
    return sent.secrets.token.partition(".")[2], sent.secrets.code


@paths
@pytest.mark.gen_test
async def test_no_secret_of_a_message_is_stored_or_logged(
    api: Api,
    dsn: str,
    path: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = await ready(api, dsn, path)
    await found.send(api, found.wrong_code)
    await found.send(api, {"token": found.sent.secrets.token[:-1]})
    await found.send(api, found.code)
    await found.send(api, found.token)
    shown = [all_text(dsn), caplog.text, *capsys.readouterr()]
    sent = [read(dsn, message_id) for message_id in message_ids(dsn)]
    assert found.sent in sent
    for text in shown:
        for secret in (part for each in sent for part in parts_of(each)):
            assert secret not in text
        assert found.sent.wrong_code not in text


@pytest.mark.gen_test
async def test_the_id_of_a_request_in_a_query_is_not_logged(
    api: Api, dsn: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    await api.request("GET", f"/auth/reset?request={sent.id}")
    for path in (RESET, "/nowhere"):
        await api.request("POST", f"{path}?request={sent.id}", json_body={})
    assert sent.id not in caplog.text + "".join(capsys.readouterr())


@pytest.mark.gen_test
async def test_secrets_are_not_in_the_representation_of_a_proof(api: Api, dsn: str) -> None:
    from services.proofs import Proof  # noqa: PLC0415

    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    proof = Proof(token=sent.secrets.token, code=sent.secrets.code, request=sent.id)
    for secret in parts_of(sent):
        assert secret not in repr(proof) + repr(sent.secrets)


@paths
@pytest.mark.gen_test
async def test_a_message_made_under_an_older_key_stays_valid(
    api: Api, dsn: str, settings: Settings, clock: Clock, path: str
) -> None:
    found = await ready(api, dsn, path)
    async with another_server(settings, [NEW_KEY, KEY], dsn, clock) as rotated:
        await sent_by(dsn, request_reset(rotated, str(recipient(dsn))))
        key_ids = run_sql(dsn, "SELECT count(DISTINCT key_id) FROM messages")
        assert key_ids == [(2,)]
        assert (await found.send(rotated, found.code)).status == 200


def recipient(dsn: str) -> object:
    return run_sql(dsn, "SELECT email FROM users")[0][0]


@paths
@pytest.mark.gen_test
async def test_a_message_made_under_a_removed_key_is_rejected(
    api: Api, dsn: str, settings: Settings, clock: Clock, path: str
) -> None:
    found = await ready(api, dsn, path)
    async with another_server(settings, [NEW_KEY], dsn, clock) as rotated:
        authorization = found.authorization
        if authorization is not None:
            authorization = bearer(await rotated.token())
        for proof in (found.token, found.code):
            answer = await confirm(rotated, path, proof, authorization)
            assert (answer.status, answer.problem) == (422, "code-invalid")


@paths
@pytest.mark.gen_test
async def test_confirmations_are_accepted_after_mail_is_turned_off(
    api: Api, dsn: str, clock: Clock, path: str
) -> None:
    """Also for links that an administrator prints."""
    found = await ready(api, dsn, path)
    before = message_ids(dsn)
    without = settings_with(**{**SETTINGS, "MAIL__URL": ""})
    async with another_server(without, [KEY], dsn, clock) as other:
        assert (await found.send(other, found.token)).status == 200
    assert message_ids(dsn) <= before


@paths
@pytest.mark.gen_test
async def test_a_database_that_fails_in_the_transaction_uses_nothing(
    api: Api, dsn: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = await ready(api, dsn, path)
    before = run_sql(dsn, "SELECT * FROM users")
    with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
        task = asyncio.create_task(found.send(api, found.code))
        await holder.sees_waiting(task)
        holder.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'userauth' AND wait_event_type = 'Lock'"
        )
        answer = await task
    assert (answer.status, answer.problem) == (503, "database-unavailable")
    caplog.clear()
    used = "SELECT used_at, tries FROM messages WHERE id = %s"
    assert run_sql(dsn, used, (found.sent.id,)) == [(None, 0)]
    assert run_sql(dsn, "SELECT * FROM users") == before
    assert (await found.send(api, found.code)).status == 200


@pytest.mark.gen_test
async def test_a_flood_of_wrong_links_makes_few_events(api: Api, dsn: str) -> None:
    for _ in range(20):
        await confirm(api, RESET, {"token": "wrong"})
    count = "SELECT count(*) FROM events WHERE kind = %s"
    assert run_sql(dsn, count, (EventKind.CODE_FAILED,)) == [(1,)]
