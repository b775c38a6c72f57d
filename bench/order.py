"""The order in which what is compared is measured."""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def in_turn(items: Sequence[Item], round_number: int) -> list[Item]:
    """Return the items, in reverse in every second round: a position must not favor one of them."""
    return list(items if round_number % 2 == 0 else reversed(items))


def shuffled(items: Sequence[Item], seed: int | str) -> list[Item]:
    """Return the items in random order, which is the same in each run."""
    return random.Random(seed).sample(items, len(items))
