"""Numbers of things in messages."""

import pytest

from rules.counting import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 users"), (1, "1 user"), (2, "2 users"), (1000, "1000 users")]
)
def test_a_noun_is_in_the_plural_unless_the_number_is_one(number: int, text: str) -> None:
    assert counted(number, "user") == text
