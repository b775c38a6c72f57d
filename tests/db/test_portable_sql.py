"""Every statement is one that a Postgres for distributed schemas accepts, such as Citus.

Citus rejects functions that are not immutable in some places: it may have to evaluate them on
another server than the rows are on. Postgres itself parses each statement here, so that operators
are seen by the types of their operands: ``timestamptz + interval`` depends on the zone of the
session, ``timestamptz - timestamptz`` does not.
"""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import psycopg2
import pytest

import db
from db.batch_loader import LookupQuery
from tests.harness.configuration import ROOT

STATEMENT = re.compile(
    r"\s*(?:SET LOCAL [^;]+;)?\s*((?:WITH|SELECT|INSERT|UPDATE|DELETE)\b.*)", re.DOTALL
)
TEMPLATE = re.compile(r"\{\w*\}")
PARAMETER = re.compile(r"%\(\w+\)s|%s|\$1")
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE \w|DELETE FROM)\b")
# As Postgres numbers them.
UPDATE, DELETE = "2", "4"
# The fields of nodes that contain the function that is called.
CALLS = frozenset({"funcid", "opfuncid", "winfnoid", "aggfnoid"})
TOKEN = re.compile(r"[{}()]|(?:\\.|[^\s{}()\\])+")


@dataclass
class Node:
    """A node of a parse tree: its type, and the values of its fields; lists have no type."""

    kind: str = ""
    fields: dict[str, list["Node | str"]] = field(default_factory=dict)

    def below(self, *names: str) -> Iterator["Node"]:
        """Yield the nodes in some fields, or in all, and all nodes below them."""
        for name in names or self.fields:
            for value in self.fields.get(name, []):
                if isinstance(value, Node):
                    yield value
                    yield from value.below()

    def text(self, name: str) -> str:
        [value] = self.fields[name]
        return str(value)


def tree_of(text: str) -> Node:
    """Parse what Postgres stores of a statement."""
    node, name, parents = Node(), "", []
    tokens = iter(TOKEN.findall(text))
    for token in tokens:
        if token in "{(":
            child = Node(next(tokens) if token == "{" else "")
            node.fields.setdefault(name, []).append(child)
            parents.append((node, name))
            node, name = child, ""
        elif token in "})":
            node, name = parents.pop()
        elif token.startswith(":"):
            name = token[1:]
        else:
            node.fields.setdefault(name, []).append(token)
    return node


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each statement of db/."""
    for module in pkgutil.iter_modules(db.__path__, "db."):
        for name, value in vars(importlib.import_module(module.name)).items():
            text = value.sql if isinstance(value, LookupQuery) else value
            match = STATEMENT.fullmatch(text) if isinstance(text, str) else None
            if match and not TEMPLATE.search(match[1]):
                yield f"{module.name}:{name}", match[1]


STATEMENTS = dict(texts())


@dataclass(frozen=True)
class Volatilities:
    """What Postgres knows about its functions, by their numbers."""

    volatile: frozenset[str]
    stable: frozenset[str]
    set_config: frozenset[str]

    def in_any(self, nodes: Iterator[Node], numbers: frozenset[str]) -> bool:
        return any(self.calls(node, numbers) for node in nodes)

    @staticmethod
    def calls(node: Node, numbers: frozenset[str]) -> bool:
        return any(node.text(name) in numbers for name in CALLS & node.fields.keys())

    def offences(self, tree: Node) -> Iterator[str]:
        """Yield why Citus would reject a statement."""
        mutable = self.volatile | self.stable
        queries = [node for node in tree.below() if node.kind == "QUERY"]
        if all(query.text("commandType") == "1" for query in queries):
            return
        if self.in_any(tree.below(), self.set_config):
            # Citus 13.2 sends such a statement to its workers damaged.
            yield "a setting"
        for node in tree.below():
            if node.kind in {"CASE", "CASEEXPR", "COALESCE", "COALESCEEXPR"} and self.in_any(
                node.below(), mutable
            ):
                yield "a function that is not immutable in CASE or COALESCE"
        for query in queries:
            if self.in_any(query.below("returningList"), mutable):
                yield "a function that is not immutable in RETURNING"
            parts = ["onConflict"]
            if query.text("commandType") in {UPDATE, DELETE}:
                parts += ["targetList", "jointree"]
            yield from self._in_changes(list(query.below(*parts)))

    def _in_changes(self, nodes: list[Node]) -> Iterator[str]:
        if self.in_any(iter(nodes), self.volatile):
            yield "a volatile function in UPDATE or DELETE"
        for node in nodes:
            has_column = any(below.kind == "VAR" for below in node.below())
            if has_column and self.calls(node, self.stable):
                yield "a function of a column in UPDATE or DELETE that is not immutable"


class Parser:
    """Lets Postgres parse statements, in functions that are never committed."""

    def __init__(self, connection: "psycopg2.extensions.connection") -> None:
        self._cursor = connection.cursor()
        self._volatilities = Volatilities(
            self._functions("provolatile = 'v'"),
            self._functions("provolatile = 's'"),
            self._functions("proname = 'set_config'"),
        )

    def offences(self, sql: str) -> list[str]:
        """Return why Citus would reject a statement of the product."""
        body = PARAMETER.sub("NULL", sql).replace("%%", "%")
        self._cursor.execute(
            "CREATE OR REPLACE FUNCTION pg_temp.parsed() RETURNS void LANGUAGE sql"
            f" BEGIN ATOMIC {body}; END"
        )
        self._cursor.execute("SELECT prosqlbody::text FROM pg_proc WHERE proname = 'parsed'")
        [(tree,)] = self._cursor.fetchall()
        return sorted(set(self._volatilities.offences(tree_of(tree))))

    def _functions(self, condition: str) -> frozenset[str]:
        self._cursor.execute(f"SELECT oid::text FROM pg_proc WHERE {condition}")  # noqa: S608
        return frozenset(number for (number,) in self._cursor.fetchall())


@pytest.fixture(scope="module")
def parser(postgres: str) -> Iterator[Parser]:
    with closing(psycopg2.connect(postgres)) as connection:
        yield Parser(connection)


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 80
    assert {
        "db.throttle:RECORD_FAILURE",
        "db.counts:DELETE_OLD",
        "db.messages:_DELETE_EXPIRED",
    } <= (STATEMENTS.keys())


def test_statements_that_write_are_constants_of_their_modules() -> None:
    """Those that a function builds would not be found."""
    found = []
    for path in sorted((ROOT / "db").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found += [path.name for _ in WRITES.findall(node.value)]
    assert found == []


def test_no_statement_depends_on_standard_conforming_strings() -> None:
    """If it is off, a backslash in a literal is an escape."""
    files = (ROOT / "schema.sql", *(ROOT / "db").rglob("*.sql"))
    found = {str(path): path.read_text(encoding="utf-8") for path in files}
    assert [name for name, sql in (STATEMENTS | found).items() if "\\" in sql] == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_distributed_schema_accepts_a_statement(parser: Parser, name: str) -> None:
    assert parser.offences(STATEMENTS[name]) == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET updated_at = clock_timestamp()",
        "UPDATE users SET updated_at = greatest(now(), updated_at + interval '1 microsecond')",
        "UPDATE users SET updated_at = CASE WHEN name = %s THEN now() ELSE updated_at END",
        "UPDATE tokens SET revoked_at = %s WHERE last_used_at + max_idle > %s",
        "UPDATE tokens SET revoked_at = %s RETURNING expires_at > now()",
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < clock_timestamp())",
        (
            "WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
            " UPDATE throttle SET failures = 0 FROM relaxed WHERE subject = %s"
        ),
        (
            "INSERT INTO throttle VALUES (%s, 0, now()) ON CONFLICT (subject) DO UPDATE"
            " SET last_at = clock_timestamp()"
        ),
    ],
)
def test_a_statement_that_a_distributed_schema_rejects_is_recognized(
    parser: Parser, sql: str
) -> None:
    assert parser.offences(sql) != []
