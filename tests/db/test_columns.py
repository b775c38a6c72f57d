"""Rows whose columns several statements list, always in the order of the fields."""

import re
from dataclasses import fields

from db.events import SELECT_EVENTS
from db.rows import EventRow, UserRow
from tests.harness.configuration import ROOT

_LAST_OF_USER = "email_verified_at IS NOT NULL"
_COLUMNS_OF_USER = re.compile(
    rf"((?:\w+\.)?\w+(?:, |,\n +))+(?:\w+\.)?{_LAST_OF_USER}(?!\n? *THEN)"
)


def names(cls: type[UserRow | EventRow]) -> list[str]:
    return [field.name for field in fields(cls)]


def test_events_are_selected_in_the_order_of_their_fields() -> None:
    columns = SELECT_EVENTS.partition("SELECT")[2].partition("FROM")[0].split(",")
    assert [column.strip().replace("host(ip)", "ip") for column in columns] == names(EventRow)


def test_users_are_selected_in_the_order_of_their_fields_by_every_statement() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("db/*.py")))
    lists = [
        [column.strip().rpartition(".")[2] for column in found[0].split(",")]
        for found in _COLUMNS_OF_USER.finditer(text)
    ]
    assert len(lists) > 10
    *columns, last = names(UserRow)
    assert last == "is_email_verified"
    assert {tuple(each[-len(columns) - 1 :]) for each in lists} == {(*columns, _LAST_OF_USER)}
