"""The clients offer every call of the API, except for those that are listed here."""

import inspect
from collections.abc import Mapping
from typing import Any

from tests.harness.openapi import document
from userauth_client import UserAuthClient, calls

# Each has a reason.
NOT_OFFERED: Mapping[tuple[str, str], str] = {
    ("GET", "/api/user/login"): "POST returns the same, and no cache may store its response",
}
# An argument of any call: an id is the only one that is part of a path.
ARGUMENT = "an-argument"
# Methods of a client that send nothing.
WITHOUT_CALL = {"close", "with_password", "with_service", "with_token"}


def functions_of_calls() -> dict[str, Any]:
    """Return the functions that make the requests of the clients."""
    return {
        name: function
        for name, function in inspect.getmembers(calls, inspect.isfunction)
        if function.__module__ == calls.__name__ and not name.startswith("_")
    }


def offered() -> set[tuple[str, str]]:
    """Return method and path of each request of the clients."""
    found = set()
    for function in functions_of_calls().values():
        call = function(**dict.fromkeys(inspect.signature(function).parameters, ARGUMENT))
        found.add((call.method, call.path.partition("?")[0].replace(ARGUMENT, "{id}")))
    return found


def documented() -> set[tuple[str, str]]:
    """Return method and path of each operation of the API."""
    return {
        (method.upper(), path)
        for path, item in document()["paths"].items()
        for method in item
        if method not in {"head", "parameters"}
    }


def test_the_clients_offer_every_operation_but_those_with_a_reason() -> None:
    assert documented() - offered() == {*NOT_OFFERED}
    assert offered() <= documented()


def test_each_call_is_a_method_of_the_clients() -> None:
    methods = {
        name
        for name, _ in inspect.getmembers(UserAuthClient, inspect.isfunction)
        if not name.startswith("_")
    }
    assert methods - WITHOUT_CALL == {*functions_of_calls()}
