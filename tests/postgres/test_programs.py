"""The output of the programs of Postgres in messages."""

import pytest

from postgres.programs import last_lines


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("one\n\n  two.\n", "one | two"),
        ("".join(f"{number}\n" for number in range(8)), "2 | 3 | 4 | 5 | 6 | 7"),
        (" \n", "no output"),
        ("", "no output"),
    ],
)
def test_the_last_lines_of_an_output_are_one_reason_without_a_full_stop(
    output: str, text: str
) -> None:
    assert last_lines(output) == text
