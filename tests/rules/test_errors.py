"""The tree of errors."""

import re

from rules import errors
from rules.errors import Problem


def test_the_documented_tree_has_each_class_under_its_base() -> None:
    _, _, tree = (errors.__doc__ or "").partition("\nProblem\n")
    path = ["Problem"]
    documented = []
    for prefix, name in re.findall(r"^([│├└─ ]+)(\w+)", tree, re.MULTILINE):
        depth = len(prefix) // 4
        path[depth:] = [name]
        documented.append((name, path[depth - 1]))
    assert sorted(documented) == sorted(_classes_with_bases(Problem))


def _classes_with_bases(base: type[Problem]) -> list[tuple[str, str]]:
    own = [each for each in base.__subclasses__() if each.__module__ == errors.__name__]
    return [
        *((each.__name__, base.__name__) for each in own),
        *(pair for each in own for pair in _classes_with_bases(each)),
    ]
