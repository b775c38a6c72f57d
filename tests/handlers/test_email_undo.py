"""/api/user/email/undo: the old address is back, and nothing of a takeover remains."""

import asyncio

import pytest

from rules.message_kinds import MessageKind
from services.event_kinds import EventKind
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings
from tests.harness.mail_calls import (
    EMAIL,
    NEW_EMAIL,
    NEW_PASSWORD,
    RESET,
    SETTINGS,
    UNDO,
    Sent,
    change,
    confirm,
    message_ids,
    read,
    request_reset,
    sent_by,
    verify,
)
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql
from tests.harness.waiting import until

pytestmark = override_settings(**SETTINGS)
THIRD = "susan@example.net"
DAY = 86_400


async def changed(api: Api, dsn: str) -> Sent:
    """Register, verify and change an address; return the undo."""
    await api.register()
    await verify(api, dsn)
    undo = await change(api, dsn)
    assert undo is not None
    return undo


@pytest.mark.gen_test
async def test_the_undo_goes_to_the_old_address_for_seven_days(api: Api, dsn: str) -> None:
    undo = await changed(api, dsn)
    row = run_sql(
        dsn,
        "SELECT kind, recipient, is_urgent, extract(epoch FROM expires_at - created_at)::integer"
        " FROM messages WHERE id = %s",
        (undo.id,),
    )
    assert row == [(MessageKind.EMAIL_UNDO, EMAIL, True, 7 * DAY)]


@pytest.mark.gen_test
async def test_an_old_address_that_was_not_verified_gets_no_message_and_is_free(
    api: Api, dsn: str
) -> None:
    await api.register()
    assert await change(api, dsn) is None
    assert (await api.register(EMAIL)).status == 201


@pytest.mark.gen_test
async def test_an_undo_restores_the_address_and_shuts_everyone_out(api: Api, dsn: str) -> None:
    undo = await changed(api, dsn)
    token = await api.token(NEW_EMAIL)
    for _ in range(2):  # the password is remembered
        await api.request("GET", "/api/user", authorization=basic(NEW_EMAIL, PASSWORD))
    reset = await sent_by(dsn, confirm(api, UNDO, undo.token), status=200)
    assert run_sql(dsn, "SELECT email, email_verified_at IS NOT NULL FROM users") == [(EMAIL, True)]
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    for email in (EMAIL, NEW_EMAIL):
        assert (await api.log_in(email)).problem == "credentials-invalid"
        answer = await api.request("GET", "/api/user", authorization=basic(email, PASSWORD))
        assert (answer.status, answer.problem) == (401, "credentials-invalid")
    row = run_sql(dsn, "SELECT kind, recipient FROM messages WHERE id = %s", (reset.id,))
    assert row == [(MessageKind.UNDO_RESET, EMAIL)]
    events = "SELECT count(*) FROM events WHERE kind = %s"
    assert run_sql(dsn, events, (EventKind.EMAIL_RESTORED,)) == [(1,)]
    assert (await confirm(api, RESET, reset.token)).status == 200
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 200


@pytest.mark.gen_test
async def test_an_undo_makes_the_messages_at_the_new_address_void(api: Api, dsn: str) -> None:
    undo = await changed(api, dsn)
    pending = await sent_by(dsn, request_reset(api, NEW_EMAIL))
    assert (await confirm(api, UNDO, undo.token)).status == 200
    row = "SELECT voided_at IS NOT NULL, due_at FROM messages WHERE id = %s"
    assert run_sql(dsn, row, (pending.id,)) == [(True, None)]


@pytest.mark.gen_test
async def test_the_first_undo_ends_a_chain_of_changes_and_a_reset(api: Api, dsn: str) -> None:
    """A → B → C, then a reset at C: A is back, and B can take nothing back."""
    undo_of_first = await changed(api, dsn)
    undo_of_second = await change(api, dsn, THIRD, basic(NEW_EMAIL, PASSWORD))
    assert undo_of_second is not None
    reset = await sent_by(dsn, request_reset(api, THIRD))
    assert (await confirm(api, RESET, reset.token)).status == 200
    for email in (EMAIL, NEW_EMAIL):
        answer = await api.register(email)
        assert (answer.status, answer.problem) == (409, "email-taken")
    assert (await confirm(api, UNDO, undo_of_first.token)).status == 200
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]
    for proof in (undo_of_second.token, undo_of_second.requested_code, undo_of_first.token):
        assert (await confirm(api, UNDO, proof)).problem == "code-invalid"
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 401
    assert (await api.register(NEW_EMAIL)).status == 201


@pytest.mark.gen_test
async def test_the_undo_of_the_second_change_leaves_the_undo_of_the_first(
    api: Api, dsn: str, clock: Clock
) -> None:
    """A thief with B, who changes it to C and undoes that, does not end the undo of the owner."""
    undo_of_first = await changed(api, dsn)
    clock.advance(1)
    undo_of_second = await change(api, dsn, THIRD, basic(NEW_EMAIL, PASSWORD))
    assert undo_of_second is not None
    assert (await confirm(api, UNDO, undo_of_second.token)).status == 200
    assert run_sql(dsn, "SELECT email FROM users") == [(NEW_EMAIL,)]
    assert (await confirm(api, UNDO, undo_of_first.token)).status == 200
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]


@pytest.mark.gen_test
async def test_the_old_address_is_reserved_until_the_undo_expires(
    api: Api, dsn: str, clock: Clock
) -> None:
    undo = await changed(api, dsn)
    stranger = basic("peter@example.com", PASSWORD)
    await api.register("peter@example.com")
    answer = await api.register(EMAIL.upper())
    assert (answer.status, answer.problem) == (409, "email-taken")
    clock.advance(7 * DAY - 1)
    assert (await api.register(EMAIL)).status == 409
    clock.advance(1)
    await change(api, dsn, EMAIL, stranger)
    assert (await confirm(api, UNDO, undo.token)).problem == "code-invalid"


@pytest.mark.gen_test
async def test_the_user_may_change_back_to_the_reserved_address(api: Api, dsn: str) -> None:
    await changed(api, dsn)
    await change(api, dsn, EMAIL, basic(NEW_EMAIL, PASSWORD))
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]


@pytest.mark.gen_test
async def test_an_undo_whose_address_has_another_user_changes_nothing(api: Api, dsn: str) -> None:
    """An administrator may add a user with a reserved address."""
    undo = await changed(api, dsn)
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, '')",
        (EMAIL, EMAIL),
    )
    before = message_ids(dsn)
    assert (await confirm(api, UNDO, undo.token)).problem == "code-invalid"
    assert message_ids(dsn) == before
    assert (await api.log_in(NEW_EMAIL)).status == 200
    assert run_sql(dsn, "SELECT used_at FROM messages WHERE id = %s", (undo.id,)) == [(None,)]


@pytest.mark.parametrize("form", ["token", "code"])
@pytest.mark.gen_test
async def test_of_two_undos_at_once_on_two_servers_one_succeeds(
    api: Api, dsn: str, settings: Settings, clock: Clock, form: str
) -> None:
    undo = await changed(api, dsn)
    proof = undo.token if form == "token" else undo.requested_code
    async with another_server(settings, [KEY], dsn, clock) as other:
        with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
            tasks = [asyncio.create_task(confirm(each, UNDO, proof)) for each in (api, other)]
            await holder.sees_waiting(*tasks)
            holder.commit()
        answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [200, 422]
    resets = "SELECT count(*) FROM messages WHERE kind = 'undo-reset'"
    assert run_sql(dsn, resets) == [(1,)]


@pytest.mark.gen_test
async def test_the_deletion_of_the_user_ends_the_undo_and_its_reservation(
    api: Api, dsn: str
) -> None:
    undo = await changed(api, dsn)
    await api.request("DELETE", "/api/user", authorization=basic(NEW_EMAIL, PASSWORD))
    for proof in (undo.token, undo.requested_code):
        assert (await confirm(api, UNDO, proof)).problem == "code-invalid"
    assert (await api.register(EMAIL)).status == 201


@pytest.mark.gen_test
async def test_a_disabled_user_can_undo_nothing(api: Api, dsn: str) -> None:
    undo = await changed(api, dsn)
    with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
        task = asyncio.create_task(confirm(api, UNDO, undo.token))
        await holder.sees_waiting(task)
        holder.run("UPDATE users SET disabled_at = now()")
        holder.commit()
    assert (await task).problem == "code-invalid"
    assert run_sql(dsn, "SELECT email FROM users") == [(NEW_EMAIL,)]


@pytest.mark.gen_test
async def test_notices_and_undos_are_sent_beyond_the_limit_of_the_recipient(
    api: Api, dsn: str
) -> None:
    await api.register()
    await verify(api, dsn)
    run_sql(dsn, "UPDATE messages SET sent_at = now()")
    for _ in range(10):
        assert (await request_reset(api)).status == 202
    sent = "SELECT count(recipient) FROM messages WHERE kind = %s"
    assert run_sql(dsn, sent, (MessageKind.PASSWORD_RESET,)) == [(4,)]
    undo = await change(api, dsn)
    assert undo is not None
    assert read(dsn, undo.id) == undo
    reset = await sent_by(dsn, confirm(api, UNDO, undo.token), status=200)
    assert (await confirm(api, RESET, reset.token)).status == 200


@pytest.mark.gen_test
async def test_a_login_that_races_with_an_undo_is_in_or_out(
    api: Api, dsn: str, hashes: BlockedHashes
) -> None:
    """The login has verified the password when the undo commits."""
    hashes.may_continue.set()
    undo = await changed(api, dsn)
    hashes.may_continue.clear()
    hashes.threads.clear()
    log_in = asyncio.create_task(api.log_in(NEW_EMAIL))
    await until(lambda: hashes.threads)
    assert (await confirm(api, UNDO, undo.token)).status == 200
    hashes.may_continue.set()
    assert (await log_in).status == 401
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]
