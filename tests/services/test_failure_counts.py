"""Failures that any caller can cause: which are events, and how the others are counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from db.rows import NewEvent
from services.failure_counts import MAX_NETWORKS, FailureCounts

BEGIN = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
EVENT = NewEvent(
    at=BEGIN, kind="password-failed", outcome="failure", ip="192.0.2.1", email_digest="a"
)
SUSAN = str(UUID(int=7))


def later(event: NewEvent, seconds: float) -> NewEvent:
    return replace(event, at=event.at + timedelta(seconds=seconds))


def after(seconds: float) -> float:
    return BEGIN.timestamp() + seconds


def test_the_first_failure_of_a_minute_is_an_event_and_the_others_are_one_at_its_end() -> None:
    counts = FailureCounts()
    assert counts.note(EVENT, "192.0.2.1")
    for second in range(1, 10):
        assert not counts.note(later(EVENT, second), "192.0.2.1")
    assert counts.take(after(59)) == []
    assert counts.take(after(60)) == [replace(later(EVENT, 9), times=9)]
    assert counts.take() == []


def test_each_minute_begins_with_an_event() -> None:
    counts = FailureCounts()
    assert counts.note(EVENT, "192.0.2.1")
    assert counts.note(later(EVENT, 60), "192.0.2.1")
    assert counts.take() == []


def test_kinds_and_networks_are_counted_separately() -> None:
    counts = FailureCounts()
    for event, network in (
        (EVENT, "192.0.2.1"),
        (EVENT, "192.0.2.2"),
        (replace(EVENT, kind="throttled"), "192.0.2.1"),
    ):
        assert counts.note(event, network)
        assert not counts.note(event, network)
    assert sorted(event.times for event in counts.take()) == [1] * 3


def test_known_users_and_clients_are_counted_separately() -> None:
    counts = FailureCounts()
    counts.note(EVENT, "192.0.2.1")
    known = [replace(EVENT, user_id=SUSAN), replace(EVENT, client_id="billing")]
    for event in known:
        assert not counts.note(event, "192.0.2.1")
    assert counts.take() == known


def test_whether_a_failure_is_written_at_once_does_not_depend_on_the_user() -> None:
    known, unknown = replace(EVENT, user_id=SUSAN), EVENT
    for first, second in ((known, unknown), (unknown, known)):
        counts = FailureCounts()
        assert [counts.note(each, "192.0.2.1") for each in (first, second)] == [True, False]
        for number in range(MAX_NETWORKS):
            counts.note(unknown, f"network {number}")
        assert [counts.note(each, "192.0.2.9") for each in (first, second)] == [False, False]


def test_merged_failures_contain_only_what_they_have_in_common() -> None:
    counts = FailureCounts()
    network = "2001:db8::/64"
    counts.note(EVENT, network)
    counts.note(replace(EVENT, ip="2001:db8::1"), network)
    counts.note(replace(EVENT, ip="2001:db8::2", email_digest="b"), network)
    [event] = counts.take()
    # The IP address is one of the network; the email addresses differ.
    assert (event.ip, event.email_digest, event.times) == ("2001:db8::2", None, 2)


def test_networks_beyond_the_limit_are_one_event_without_an_address() -> None:
    counts = FailureCounts()
    written = sum(counts.note(EVENT, f"network {number}") for number in range(1_000))
    assert written == MAX_NETWORKS
    [event] = counts.take()
    assert (event.times, event.ip) == (1_000 - MAX_NETWORKS, None)


def test_failures_of_known_users_are_kept_however_many_unknown_ones_there_are() -> None:
    counts = FailureCounts()
    for number in range(1_000):
        counts.note(EVENT, f"network {number}")
    counts.note(replace(EVENT, user_id=SUSAN), "network 5000")
    counts.note(replace(EVENT, user_id=SUSAN), "network 5000")
    found = [event for event in counts.take() if event.user_id == SUSAN]
    assert [(event.times, event.ip) for event in found] == [(2, EVENT.ip)]


def test_memory_is_bounded_whatever_the_users_and_networks() -> None:
    counts = FailureCounts()
    number = 20_000
    events = [replace(EVENT, user_id=str(UUID(int=each))) for each in range(number)]
    written = sum(counts.note(event, f"network {each}") for each, event in enumerate(events))
    taken = counts.take()
    assert len(taken) < 5_000
    assert written + sum(event.times for event in taken) == number


def test_events_that_could_not_be_written_are_kept() -> None:
    counts = FailureCounts()
    for _ in range(4):
        counts.note(EVENT, "192.0.2.1")
    taken = counts.take(after(60))
    counts.put_back(taken)
    assert counts.take(after(60)) == taken == [replace(EVENT, times=3)]


def test_events_put_back_twice_are_merged_without_addresses_that_differ() -> None:
    counts = FailureCounts()
    counts.put_back([replace(EVENT, times=3), replace(EVENT, ip="192.0.2.9", times=2)])
    [event] = counts.take()
    assert (event.times, event.ip) == (5, None)
