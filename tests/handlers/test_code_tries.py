"""Wrong codes: counted before the comparison, by message, address and network; never the link."""

import asyncio
from datetime import timedelta

import pytest

from services.event_kinds import EventKind
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import Api
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings, settings_with
from tests.harness.mail_calls import (
    EMAIL,
    RESET,
    SETTINGS,
    SUSAN,
    VERIFICATION,
    Sent,
    confirm,
    read,
    ready,
    request_reset,
    request_verification,
    sent_by,
)
from tests.harness.row_locks import holding
from tests.harness.sql import moving_counts_back, run_sql

TRIES, TRIES_PER_DAY = 5, 20
UNKNOWN = "unknown@example.com"
# The sender may wait as well.
COUNTS_TRY = "SELECT DISTINCT email_digest"
limited = override_settings(THROTTLE__ADDRESS_FAILURES=3)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_with(**SETTINGS, **getattr(request, "param", {}))


async def guess(api: Api, sent: Sent, times: int = 1) -> None:
    """Send wrong codes."""
    for _ in range(times):
        answer = await confirm(api, RESET, {"request": sent.id, "code": sent.wrong_code})
        assert (answer.status, answer.problem) == (422, "code-invalid")


def tries_of(dsn: str, sent: Sent) -> int:
    return int(run_sql(dsn, "SELECT tries FROM messages WHERE id = %s", (sent.id,))[0][0])


@pytest.mark.parametrize("path", [RESET, VERIFICATION, "/api/user/email", "/api/user/email/undo"])
@pytest.mark.gen_test
async def test_five_wrong_codes_end_a_code_and_not_its_link(api: Api, dsn: str, path: str) -> None:
    found = await ready(api, dsn, path)
    for _ in range(TRIES - 1):
        assert (await found.send(api, found.wrong_code)).problem == "code-invalid"
    assert tries_of(dsn, found.sent) == TRIES - 1
    assert (await found.send(api, found.wrong_code)).problem == "code-invalid"
    answer = await found.send(api, found.code)
    assert (answer.status, answer.problem) == (422, "code-invalid")
    assert tries_of(dsn, found.sent) == TRIES
    assert (await found.send(api, found.token)).status == 200


@pytest.mark.gen_test
async def test_a_right_code_after_four_wrong_ones_is_accepted(api: Api, dsn: str) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    await guess(api, sent, TRIES - 1)
    assert (await confirm(api, RESET, sent.requested_code)).status == 200


@pytest.mark.gen_test
async def test_twenty_wrong_codes_in_a_day_end_all_codes_of_an_address(
    api: Api, dsn: str, clock: Clock
) -> None:
    await api.register()
    for _ in range(TRIES_PER_DAY // TRIES):
        await guess(api, await sent_by(dsn, request_reset(api)), TRIES)
    reset = await sent_by(dsn, request_reset(api))
    clock.advance(3600)
    verification = await sent_by(dsn, request_verification(api))
    assert (await confirm(api, RESET, reset.requested_code)).problem == "code-invalid"
    assert (await confirm(api, VERIFICATION, verification.code, SUSAN)).problem == "code-invalid"
    assert [tries_of(dsn, each) for each in (reset, verification)] == [0, 0]
    clock.advance(timedelta(days=1).total_seconds() - 3600 - 1)
    later = await sent_by(dsn, request_reset(api))
    assert (await confirm(api, RESET, later.requested_code)).problem == "code-invalid"
    clock.advance(1)
    assert (await confirm(api, RESET, later.requested_code)).status == 200


@pytest.mark.gen_test
async def test_the_link_is_valid_after_twenty_wrong_codes(api: Api, dsn: str) -> None:
    await api.register()
    for _ in range(TRIES_PER_DAY // TRIES):
        await guess(api, await sent_by(dsn, request_reset(api)), TRIES)
    reset = await sent_by(dsn, request_reset(api))
    assert (await confirm(api, RESET, reset.requested_code)).problem == "code-invalid"
    assert (await confirm(api, RESET, reset.token)).status == 200


@pytest.mark.gen_test
async def test_wrong_codes_of_one_address_do_not_count_for_another(api: Api, dsn: str) -> None:
    await api.register()
    await api.register("peter@example.com")
    for _ in range(TRIES_PER_DAY // TRIES):
        await guess(api, await sent_by(dsn, request_reset(api)), TRIES)
    other = await sent_by(dsn, request_reset(api, "peter@example.com"))
    assert (await confirm(api, RESET, other.requested_code)).status == 200


@pytest.mark.gen_test
async def test_codes_of_unknown_addresses_are_counted_alike(api: Api, dsn: str) -> None:
    await api.register()
    for email in (EMAIL, UNKNOWN):
        for _ in range(TRIES_PER_DAY // TRIES):
            sent = read(dsn, (await request_reset(api, email)).json["request"])
            await guess(api, sent, TRIES + 1)
            assert tries_of(dsn, sent) == TRIES
        last = read(dsn, (await request_reset(api, email)).json["request"])
        await guess(api, last)
        assert tries_of(dsn, last) == 0


@pytest.mark.gen_test
async def test_of_twenty_wrong_codes_at_once_on_two_servers_five_are_compared(
    api: Api, dsn: str, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rules.mail_secrets import MailSecrets  # noqa: PLC0415

    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    compared: list[str] = []
    has_code = MailSecrets.has_code

    def recorded(self: MailSecrets, given: str) -> bool:
        compared.append(given)
        return has_code(self, given)

    monkeypatch.setattr(MailSecrets, "has_code", recorded)
    async with another_server(settings, [KEY], dsn, clock) as other:
        await asyncio.gather(*(guess(each, sent) for each in (api, other) for _ in range(10)))
    assert len(compared) == TRIES
    assert tries_of(dsn, sent) == TRIES


@pytest.mark.gen_test
async def test_wrong_codes_that_wait_for_one_another_are_counted_one_by_one(
    api: Api, dsn: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    run_sql(dsn, "UPDATE messages SET tries = %s", (TRIES - 1,))
    with holding(dsn, "SELECT FROM messages FOR UPDATE") as holder:
        guesses = [asyncio.create_task(guess(api, sent)) for _ in range(2)]
        await holder.sees_waiting(*guesses, statement=COUNTS_TRY)
        holder.commit()
    await asyncio.gather(*guesses)
    assert tries_of(dsn, sent) == TRIES


@pytest.mark.gen_test
async def test_parallel_wrong_codes_of_several_messages_stay_within_the_limit_of_a_day(
    api: Api, dsn: str, settings: Settings, clock: Clock
) -> None:
    await api.register()
    every = [await sent_by(dsn, request_reset(api)) for _ in range(5)]
    async with another_server(settings, [KEY], dsn, clock) as other:
        await asyncio.gather(
            *(guess(each, sent) for each in (api, other) for sent in every for _ in range(4))
        )
    assert sum(tries_of(dsn, sent) for sent in every) == TRIES_PER_DAY


@pytest.mark.gen_test
async def test_a_wrong_code_is_one_try_of_the_address_however_many_messages_are_valid(
    api: Api, dsn: str
) -> None:
    """Otherwise four mistakes would end all codes of a user with five messages."""
    await api.register()
    every = [await sent_by(dsn, request_verification(api)) for _ in range(5)]
    codes = {sent.secrets.code for sent in every}
    wrong = next(code for code in map(str, range(10_000_000, 10_000_009)) if code not in codes)
    for tries in range(TRIES):
        assert run_sql(dsn, "SELECT DISTINCT tries FROM messages") == [(tries,)]
        answer = await confirm(api, VERIFICATION, {"code": wrong}, SUSAN)
        assert answer.problem == "code-invalid"
    assert run_sql(dsn, "SELECT sum(email_tries) FROM messages") == [(TRIES,)]
    # They end these codes, but not others of the address.
    assert (await confirm(api, VERIFICATION, every[0].code, SUSAN)).problem == "code-invalid"
    run_sql(dsn, "UPDATE messages SET created_at = created_at - interval '2 hours'")
    later = await sent_by(dsn, request_verification(api))
    assert (await confirm(api, VERIFICATION, later.code, SUSAN)).status == 200
    assert run_sql(dsn, "SELECT sum(email_tries) FROM messages") == [(TRIES,)]


@pytest.mark.gen_test
async def test_the_last_try_of_a_day_is_the_twentieth_with_several_valid_messages(
    api: Api, dsn: str
) -> None:
    await api.register()
    every = [await sent_by(dsn, request_verification(api)) for _ in range(3)]
    run_sql(
        dsn,
        "UPDATE messages SET email_tries = %s, last_try_at = created_at WHERE id = %s",
        (TRIES_PER_DAY - 1, every[1].id),
    )
    codes = {sent.secrets.code for sent in every}
    wrong = next(code for code in map(str, range(10_000_000, 10_000_009)) if code not in codes)
    for _ in range(3):
        answer = await confirm(api, VERIFICATION, {"code": wrong}, SUSAN)
        assert answer.problem == "code-invalid"
        assert run_sql(dsn, "SELECT DISTINCT tries FROM messages") == [(1,)]
    assert run_sql(dsn, "SELECT sum(email_tries) FROM messages") == [(TRIES_PER_DAY,)]


@limited
@pytest.mark.gen_test
async def test_wrong_codes_are_counted_by_network_whatever_the_message(api: Api, dsn: str) -> None:
    await api.register()
    for email in (EMAIL, UNKNOWN, EMAIL):
        await guess(api, read(dsn, (await request_reset(api, email)).json["request"]))
    sent = await sent_by(dsn, request_reset(api))
    for proof in (sent.requested_code, {"request": "x", "code": "00000000"}):
        answer = await confirm(api, RESET, proof)
        assert (answer.status, answer.problem) == (429, "too-many-tries")
        assert int(answer.headers["Retry-After"]) >= 1
    answer = await confirm(api, VERIFICATION, {"code": "00000000"}, SUSAN)
    assert answer.status == 429
    assert tries_of(dsn, sent) == 0
    with moving_counts_back(dsn) as let_pass:
        let_pass(3600)
    assert (await confirm(api, RESET, sent.requested_code)).status == 200


@limited
@pytest.mark.gen_test
async def test_links_and_passwords_are_not_limited_by_wrong_codes(api: Api, dsn: str) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    await guess(api, sent, 3)
    assert (await confirm(api, RESET, sent.requested_code)).status == 429
    assert (await api.log_in()).status == 200
    assert (await confirm(api, RESET, {"token": "wrong"})).status == 422
    assert (await confirm(api, RESET, sent.token)).status == 200


@limited
@pytest.mark.gen_test
async def test_a_right_code_counts_no_failure_of_its_network_and_forgives_none(
    api: Api, dsn: str
) -> None:
    await api.register()
    await guess(api, await sent_by(dsn, request_reset(api)), 2)
    sent = await sent_by(dsn, request_verification(api))
    assert (await confirm(api, VERIFICATION, sent.code, SUSAN)).status == 200
    counts = "SELECT failures FROM throttle WHERE subject LIKE 'code:%%'"
    assert run_sql(dsn, counts, {}) == [(2,)]


@pytest.mark.gen_test
async def test_a_malformed_code_is_no_try(api: Api, dsn: str) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    for code in ("1234", "12 34 56 78", "abcdefgh"):
        answer = await confirm(api, RESET, {"request": sent.id, "code": code})
        assert answer.problem == "code-invalid"
    assert tries_of(dsn, sent) == 0


@pytest.mark.gen_test
async def test_a_rejected_proof_is_an_event(api: Api, dsn: str) -> None:
    await api.register()
    await confirm(api, VERIFICATION, {"code": "00000000"}, SUSAN)
    row = run_sql(
        dsn, "SELECT kind, outcome, user_id IS NOT NULL FROM events ORDER BY id DESC LIMIT 1"
    )
    assert row == [(EventKind.CODE_FAILED, "failure", True)]
