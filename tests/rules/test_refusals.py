"""Refusals of wrong passwords last as long, whatever was hashed; clocks are moved by hand."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import bcrypt
import pytest

from rules.errors import Overloaded
from rules.passwords import Checked, PasswordHasher
from rules.refusals import LONGEST_SECONDS, RefusalTimes
from rules.turns import Caller
from tests.harness.clock import Clock

GUESS = 0.2
USUAL = 0.25
NFD = unicodedata.normalize("NFD", "größer")


@dataclass
class Other:
    """A hash of another service that takes a time, for each form of the password."""

    seconds: float
    clock: Clock
    kind: str = "slow"
    memory: int = 0
    answer: bool = False
    tried: int = 0

    def matches(self, password: str) -> bool:
        forms = {password, unicodedata.normalize("NFC", password)}
        self.tried += len(forms)
        self.clock.advance(self.seconds * len(forms))
        return self.answer

    def reads_whole(self, password: str) -> bool:
        return "cut" not in password


Check = Callable[[str, str | None], Checked]
CALLER = Caller.at("192.0.2.1", "susan")


async def check_in_slot(hasher: PasswordHasher, stored: str) -> Checked:
    async with hasher.slot(CALLER, stored):
        return await hasher.check("wrong", stored)


@pytest.fixture
def others() -> dict[str, Other]:
    return {}


@pytest.fixture
def hasher(
    clock: Clock, others: dict[str, Other], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PasswordHasher]:
    """Return a hasher whose own hashes take the usual time on its clock."""
    check = bcrypt.checkpw

    def slow(password: bytes, stored: bytes) -> bool:
        clock.advance(USUAL)
        return check(password, stored)

    monkeypatch.setattr("rules.passwords.bcrypt.checkpw", slow)
    monkeypatch.setattr("rules.passwords._measure_cheapest", lambda: GUESS)
    hasher = PasswordHasher(
        cost=4, workers=2, max_wait_seconds=5, read_foreign=others.__getitem__, timer=clock
    )
    yield hasher
    hasher.close()


def lasts(hasher: PasswordHasher, clock: Clock, password: str, stored: str | None) -> float:
    """Return how long a refusal lasts: the hashes, and the rest."""
    before = clock.now
    checked = asyncio.run(hasher.check(password, stored))
    assert not checked.matches
    return clock.now - before + checked.rest_seconds


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.2, 0.24, 0.4, 0.9])
@pytest.mark.parametrize("password", ["wrong", NFD, "x" * 1000])
def test_a_wrong_password_of_an_imported_user_lasts_as_long_as_one_of_nobody(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other], seconds: float, password: str
) -> None:
    others["imported"] = Other(seconds, clock)
    ours = asyncio.run(hasher.hash("right"))
    asyncio.run(hasher.measure("imported"))
    for _ in range(40):
        lasts(hasher, clock, password, None)
    times = [lasts(hasher, clock, password, stored) for stored in ("imported", ours, None)]
    assert times == pytest.approx([times[0]] * 3)
    forms = 2 if password == NFD else 1
    assert times[0] == pytest.approx(max(seconds, USUAL) * forms)


def test_what_was_measured_once_is_waited_for_by_everybody_from_then_on(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other]
) -> None:
    others["imported"] = Other(0.75, clock)
    for _ in range(40):
        assert lasts(hasher, clock, "wrong", None) <= USUAL + 0.01
    lasts(hasher, clock, "wrong", "imported")
    assert lasts(hasher, clock, "wrong", None) == pytest.approx(0.75)


def test_a_kind_that_is_not_in_use_any_more_is_not_waited_for(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other]
) -> None:
    others["left"] = Other(0.75, clock, kind="left")
    others["kept"] = Other(0.5, clock, kind="kept")
    for _ in range(40):
        lasts(hasher, clock, "wrong", None)
    for stored in others:
        asyncio.run(hasher.measure(stored))
    assert lasts(hasher, clock, "wrong", None) == pytest.approx(0.75)
    hasher.forget_kinds_but({"kept"})
    assert lasts(hasher, clock, "wrong", None) == pytest.approx(0.5)


def test_our_own_hashes_of_a_higher_cost_are_waited_for_whatever_others_have(
    hasher: PasswordHasher, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_password: bytes, stored: bytes) -> bool:
        clock.advance(USUAL * (2 if b"$05$" in stored else 1))
        return False

    monkeypatch.setattr("rules.passwords.bcrypt.checkpw", refuse)
    costly = asyncio.run(hasher.hash("right")).replace("$2b$04$", "$2b$05$")
    for _ in range(40):
        lasts(hasher, clock, "wrong", None)
    lasts(hasher, clock, "wrong", costly)
    hasher.forget_kinds_but(())
    assert lasts(hasher, clock, "wrong", None) == pytest.approx(2 * USUAL)


def test_a_right_password_waits_for_nothing(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other]
) -> None:
    others["imported"] = Other(0.001, clock, answer=True)
    assert asyncio.run(hasher.check("right", "imported")) == Checked(matches=True, rest_seconds=0.0)


def test_one_hash_is_spent_on_nobody_whatever_the_form(
    hasher: PasswordHasher, clock: Clock, checks: list[bytes]
) -> None:
    for password in ("wrong", NFD):
        lasts(hasher, clock, password, None)
    assert len(checks) == 2


def test_a_kind_that_takes_too_long_is_not_waited_for() -> None:
    times = RefusalTimes(USUAL / 1.25)
    times.note("absurd", LONGEST_SECONDS + 0.1)
    assert times.rest(0.0, forms=1) == pytest.approx(USUAL)
    times.note("slow", LONGEST_SECONDS - 0.1)
    assert times.rest(0.0, forms=1) == pytest.approx(LONGEST_SECONDS - 0.1)


def test_the_rest_follows_the_load_of_the_machine() -> None:
    times = RefusalTimes(USUAL)
    for _ in range(40):
        times.note_usual(USUAL)
    times.note("slow", 2 * USUAL)
    assert times.rest(0.0, forms=1) == pytest.approx(2 * USUAL)
    for _ in range(40):
        times.note_usual(1.5 * USUAL)
    assert times.rest(0.0, forms=1) == pytest.approx(3 * USUAL)


def test_one_slow_hash_among_many_is_not_waited_for() -> None:
    times = RefusalTimes(USUAL)
    for number in range(40):
        times.note_usual(USUAL if number % 20 else 10 * USUAL)
    assert times.rest(0.0, forms=1) == pytest.approx(USUAL)


def test_a_hash_that_takes_much_memory_waits_for_another_one(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other]
) -> None:
    big = others["big"] = Other(0.1, clock, memory=65 * 2**20)
    others["small"] = Other(0.1, clock, memory=64 * 2**20)

    async def work() -> None:
        async with hasher.slot(CALLER, "big"):
            await check_in_slot(hasher, "small")
            waiting = asyncio.create_task(check_in_slot(hasher, "big"))
            await asyncio.sleep(0)
            tried = [big.tried]
        await waiting
        assert [*tried, big.tried] == [0, 1]

    asyncio.run(work())


def test_whoever_would_wait_too_long_for_the_memory_is_refused(
    others: dict[str, Other], clock: Clock
) -> None:
    big = others["big"] = Other(0.1, clock, memory=65 * 2**20)
    hasher = PasswordHasher(
        cost=4, workers=1, max_wait_seconds=0.01, read_foreign=others.__getitem__
    )

    async def work() -> None:
        async with hasher.slot(CALLER, "big"):
            await check_in_slot(hasher, "big")

    with pytest.raises(Overloaded):
        asyncio.run(work())
    hasher.close()
    assert not big.tried


def test_only_a_password_that_counted_whole_renews_a_hash(
    hasher: PasswordHasher, clock: Clock, others: dict[str, Other]
) -> None:
    others["imported"] = Other(0.1, clock)
    ours = asyncio.run(hasher.hash("right"))
    assert hasher.may_renew("whole", "imported")
    assert not hasher.may_renew("a cut one", "imported")
    assert hasher.may_renew("a cut one", ours)
