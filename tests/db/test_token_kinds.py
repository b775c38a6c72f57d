"""Which kinds of tokens each statement over their table means: a decision for each of them.

A statement that is not in the table below fails the test: decide whether it means tokens, sessions
or both, and add it. One that means a single kind has to name it.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from rules.tokens import TokenKind
from tests.harness.configuration import ROOT, SOURCE_PATHS

BOTH = "both"
# The caller names the kind.
EITHER = "either"
DECISIONS = {
    # A signature of one kind is no proof of the other, and neither is its row.
    "db/token_lookups.py::FIND_USERS": TokenKind.TOKEN,
    # A service that a session reached must not learn more by it, nor accept it as a token.
    "db/token_lookups.py::FIND_OWNERS": TokenKind.TOKEN,
    "db/token_lookups.py::FIND_SESSIONS": TokenKind.SESSION,
    # A login inserts a token or a session.
    "db/tokens.py::_INSERT": EITHER,
    # The proof of a write, whichever was presented.
    "db/tokens.py::_IS_UNREVOKED": BOTH,
    # The list of the user, and the number that administrators see.
    "db/tokens.py::_FIND_VALID": BOTH,
    # The presented one; clients revoke tokens, a sign-in replaces a session.
    "db/tokens.py::_REVOKE": EITHER,
    # By an id of the list.
    "db/tokens.py::_REVOKE_VALID": BOTH,
    # A new password, a disabled user, DELETE /api/user/tokens, users revoke-tokens.
    "db/tokens.py::_REVOKE_ALL": BOTH,
    # Each kind has a maximum of its own.
    "db/tokens.py::_REVOKE_SURPLUS": EITHER,
    # The deletion of the user.
    "db/tokens.py::_ANONYMIZE": BOTH,
    "db/tokens.py::_WRITE_USES": BOTH,
    # keys retire keeps the key of a valid session.
    "db/tokens.py::_FIND_KEYS_IN_USE": BOTH,
    "db/expired_tokens.py::_DELETE_EXPIRED": BOTH,
    # A restore revokes both, or keeps both; the database that it replaces may have no kinds yet.
    "postgres/restore.py::_REVOKE_TOKENS": BOTH,
    "postgres/restore.py::_COUNTS": BOTH,
}
OVER_TOKENS = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|ONLY|USING)\s+tokens\b", re.IGNORECASE)
NAMED_KIND = re.compile(r"\bkind = (?:'(\w+)'|%)")


def text_of(node: ast.AST) -> str:
    """Return the text of all constants in an expression, parts of f-strings included."""
    values = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return " ".join(value for value in values if isinstance(value, str))


def statements() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each statement over the table in the product."""
    for source in SOURCE_PATHS:
        path = ROOT / source
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            module = file.relative_to(ROOT).as_posix()
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                name = getattr(node, "name", None)
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)]):
                        pass
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        pass
                if OVER_TOKENS.search(text_of(node)):
                    yield f"{module}::{name}", text_of(node)


@cache
def found() -> Mapping[str, str]:
    return dict(statements())


def test_the_kinds_that_each_statement_means_are_decided() -> None:
    assert set(found()) == set(DECISIONS)


@pytest.mark.parametrize("name", DECISIONS)
def test_a_statement_names_the_kind_that_it_means(name: str) -> None:
    text = found()[name]
    named = [match[1] or EITHER for match in NAMED_KIND.finditer(text)]
    inserts = "INSERT INTO tokens" in text
    decision = DECISIONS[name]
    assert named == ([] if decision == BOTH or inserts else [decision])
