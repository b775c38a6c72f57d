"""Lookups that a synchronous standby has to acknowledge: settings of Postgres, and reconnects."""

import pytest

from db.acknowledgements import Acknowledgements, is_one_of_several
from db.errors import Unavailable
from tests.harness.clock import Clock


@pytest.mark.parametrize(
    "setting",
    ["standby", '"node-2"', "FIRST 1 (a)", "1 (a)", "2 (a, b)", "first 2 (a,b)", "ANY 2 (a, b)"],
)
def test_each_standby_that_is_named_has_to_acknowledge(setting: str) -> None:
    assert not is_one_of_several(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "*",
        '"*"',
        "1 (*)",
        "a, b",
        "FIRST 1 (a, b)",
        "ANY 1 (a, b)",
        "any 2 (a, b,\n c)",
        "2 (a, *)",
    ],
)
def test_one_standby_can_acknowledge_in_place_of_another(setting: str) -> None:
    assert is_one_of_several(setting)


def test_after_a_lookup_that_was_not_acknowledged_one_connection_a_second_is_opened() -> None:
    clock = Clock()
    acknowledgements = Acknowledgements(clock)
    for _ in range(6):
        acknowledgements.spend_reconnect(0)
    acknowledgements.record_timeout(0)
    for seconds in (0.0, 0.9):
        clock.advance(seconds)
        with pytest.raises(Unavailable):
            acknowledgements.spend_reconnect(0)
    clock.advance(0.2)
    acknowledgements.spend_reconnect(0)
    with pytest.raises(Unavailable):
        acknowledgements.spend_reconnect(0)
    # Another primary was found.
    acknowledgements.spend_reconnect(1)
    with pytest.raises(Unavailable):
        acknowledgements.spend_reconnect(0)
    acknowledgements.record()
    for _ in range(6):
        acknowledgements.spend_reconnect(0)
