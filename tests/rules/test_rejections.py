"""Rejections of wrong passwords take the same time, whatever was hashed."""

import asyncio
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import bcrypt
import pytest

from rules.errors import Overloaded
from rules.password_scheme import PasswordScheme
from rules.passwords import PasswordHasher
from rules.rejections import MAX_SECONDS, RejectionTimes
from rules.turns import Caller
from tests.harness.clock import Clock
from tests.harness.hashing import new_hasher

GUESS = 0.2
USUAL = 0.25
NFD = unicodedata.normalize("NFD", "größer")


@dataclass
class SlowHash:
    """An imported hash that takes some seconds for each form of the password."""

    seconds: float
    clock: Clock
    kind: str = "slow"
    memory: int = 0
    answer: bool = False
    attempts: int = 0

    def matches(self, password: str) -> bool:
        forms = {password, unicodedata.normalize("NFC", password)}
        self.attempts += len(forms)
        self.clock.advance(self.seconds * len(forms))
        return self.answer

    def reads_whole(self, password: str) -> bool:
        return "truncated" not in password


CALLER = Caller.at("192.0.2.1", "susan")


async def verify(hasher: PasswordHasher, password: str, stored: str | None) -> bool:
    async with hasher.slot(CALLER, stored) as slot:
        return await slot.verify(password, stored)


@pytest.fixture
def others() -> dict[str, SlowHash]:
    return {}


@pytest.fixture
def hasher(
    clock: Clock, others: dict[str, SlowHash], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PasswordHasher]:
    """Return a hasher whose own hashes take the usual time on its clock, as do its delays."""
    check = bcrypt.checkpw

    def slow(password: bytes, stored: bytes) -> bool:
        clock.advance(USUAL)
        return check(password, stored)

    monkeypatch.setattr("rules.password_scheme.bcrypt.checkpw", slow)
    monkeypatch.setattr("rules.password_scheme._measure_cheapest", lambda: GUESS)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    hasher = new_hasher(workers=2, read_imported=others.__getitem__, timer=clock, sleep=sleep)
    yield hasher
    hasher.close()


def rejection_seconds(
    hasher: PasswordHasher, clock: Clock, password: str, stored: str | None
) -> float:
    """Return how long a rejection takes: the hashes, and the delay."""
    before = clock.now
    assert not asyncio.run(verify(hasher, password, stored))
    return clock.now - before


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.2, 0.24, 0.4, 0.9])
@pytest.mark.parametrize("password", ["wrong", NFD, "x" * 1000])
def test_the_rejection_of_an_imported_user_takes_as_long_as_that_of_an_unknown_user(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash], seconds: float, password: str
) -> None:
    others["imported"] = SlowHash(seconds, clock)
    own = hasher.scheme.hash("right")
    asyncio.run(hasher.measure("imported"))
    for _ in range(40):
        rejection_seconds(hasher, clock, password, None)
    times = [
        rejection_seconds(hasher, clock, password, stored) for stored in ("imported", own, None)
    ]
    assert times == pytest.approx([times[0]] * 3)
    forms = 2 if password == NFD else 1
    assert times[0] == pytest.approx(max(seconds, USUAL) * forms)


def test_a_kind_that_was_measured_once_delays_every_rejection_from_then_on(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    others["imported"] = SlowHash(0.75, clock)
    for _ in range(40):
        assert rejection_seconds(hasher, clock, "wrong", None) <= USUAL + 0.01
    rejection_seconds(hasher, clock, "wrong", "imported")
    assert rejection_seconds(hasher, clock, "wrong", None) == pytest.approx(0.75)


def test_a_kind_that_is_no_longer_in_use_delays_no_rejection(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    others["left"] = SlowHash(0.75, clock, kind="left")
    others["kept"] = SlowHash(0.5, clock, kind="kept")
    for _ in range(40):
        rejection_seconds(hasher, clock, "wrong", None)
    for stored in others:
        asyncio.run(hasher.measure(stored))
    assert rejection_seconds(hasher, clock, "wrong", None) == pytest.approx(0.75)
    hasher.retain_kinds({"kept"})
    assert rejection_seconds(hasher, clock, "wrong", None) == pytest.approx(0.5)


def test_own_hashes_of_a_higher_cost_delay_rejections_whatever_kinds_are_in_use(
    hasher: PasswordHasher, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(_password: bytes, stored: bytes) -> bool:
        clock.advance(USUAL * (2 if b"$05$" in stored else 1))
        return False

    monkeypatch.setattr("rules.password_scheme.bcrypt.checkpw", reject)
    costly = hasher.scheme.hash("right").replace("$2b$04$", "$2b$05$")
    for _ in range(40):
        rejection_seconds(hasher, clock, "wrong", None)
    rejection_seconds(hasher, clock, "wrong", costly)
    hasher.retain_kinds(())
    assert rejection_seconds(hasher, clock, "wrong", None) == pytest.approx(2 * USUAL)


def test_a_correct_password_is_not_delayed(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    others["imported"] = SlowHash(0.125, clock, answer=True)
    before = clock.now
    assert asyncio.run(verify(hasher, "right", "imported"))
    assert clock.now - before == 0.125


@pytest.mark.parametrize("stored", ["imported", None])
def test_a_rejection_is_delayed_in_its_slot_and_a_success_is_not(
    clock: Clock, others: dict[str, SlowHash], stored: str | None
) -> None:
    hashers: list[PasswordHasher] = []
    running: list[int] = []

    async def sleep(_seconds: float) -> None:
        running.append(hashers[0].queue.running)

    others["imported"] = SlowHash(0.125, clock)
    others["matching"] = SlowHash(0.125, clock, answer=True)
    with closing(new_hasher(read_imported=others.__getitem__, sleep=sleep)) as slow:
        hashers.append(slow)
        assert not asyncio.run(verify(slow, "wrong", stored))
        assert running == [1]
        assert asyncio.run(verify(slow, "right", "matching"))
    assert running == [1]


def test_a_measurement_is_not_delayed(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    others["imported"] = SlowHash(0.125, clock)
    before = clock.now
    asyncio.run(hasher.measure("imported"))
    assert clock.now - before == 0.125


def test_an_unknown_user_costs_one_hash_whatever_the_form_of_the_password(
    hasher: PasswordHasher, clock: Clock, checks: list[bytes]
) -> None:
    for password in ("wrong", NFD):
        rejection_seconds(hasher, clock, password, None)
    assert len(checks) == 2


def test_a_kind_that_takes_too_long_delays_no_rejection() -> None:
    times = RejectionTimes(USUAL / 1.25)
    times.note("absurd", MAX_SECONDS + 0.1)
    assert times.delay_seconds(0.0, forms=1) == pytest.approx(USUAL)
    times.note("slow", MAX_SECONDS - 0.1)
    assert times.delay_seconds(0.0, forms=1) == pytest.approx(MAX_SECONDS - 0.1)


def test_the_delay_follows_the_load_of_the_machine() -> None:
    times = RejectionTimes(USUAL)
    for _ in range(40):
        times.note_usual(USUAL)
    times.note("slow", 2 * USUAL)
    assert times.delay_seconds(0.0, forms=1) == pytest.approx(2 * USUAL)
    for _ in range(40):
        times.note_usual(1.5 * USUAL)
    assert times.delay_seconds(0.0, forms=1) == pytest.approx(3 * USUAL)


def test_one_slow_hash_among_many_delays_no_rejection() -> None:
    times = RejectionTimes(USUAL)
    for number in range(40):
        times.note_usual(USUAL if number % 20 else 10 * USUAL)
    assert times.delay_seconds(0.0, forms=1) == pytest.approx(USUAL)


def test_a_hash_that_takes_much_memory_waits_for_another_such_hash(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    big = others["big"] = SlowHash(0.1, clock, memory=65 * 2**20)
    others["small"] = SlowHash(0.1, clock, memory=64 * 2**20)

    async def work() -> None:
        async with hasher.slot(CALLER, "big"):
            await verify(hasher, "wrong", "small")
            waiting = asyncio.create_task(verify(hasher, "wrong", "big"))
            await asyncio.sleep(0)
            attempts = [big.attempts]
        await waiting
        assert [*attempts, big.attempts] == [0, 1]

    asyncio.run(work())


def test_a_caller_that_would_wait_too_long_for_memory_is_rejected(
    others: dict[str, SlowHash], clock: Clock
) -> None:
    big = others["big"] = SlowHash(0.1, clock, memory=65 * 2**20)
    hasher = new_hasher(max_wait_seconds=0.01, read_imported=others.__getitem__)

    async def work() -> None:
        async with hasher.slot(CALLER, "big"):
            await verify(hasher, "wrong", "big")

    with pytest.raises(Overloaded):
        asyncio.run(work())
    hasher.close()
    assert not big.attempts


def test_only_a_password_that_a_match_proves_whole_renews_a_hash(
    hasher: PasswordHasher, clock: Clock, others: dict[str, SlowHash]
) -> None:
    others["imported"] = SlowHash(0.1, clock)
    assert hasher.should_renew("whole", "imported")
    assert not hasher.should_renew("truncated", "imported")
    assert hasher.should_renew("truncated", PasswordScheme(cost=5).hash("right"))
    assert not hasher.should_renew("whole", hasher.scheme.hash("right"))
