"""Requests with an ambiguous end: one rejection, or one reading, and no hidden request runs."""

import pytest

from tests.harness.api import Api
from tests.harness.raw_http import exchange, parse_answer, raw_request
from tests.harness.smuggling import CASES
from tests.harness.sql import run_sql

LAST = raw_request("GET", "/health/live", close=True)
# The statuses where the end is clear: of the request, of what follows it, and of LAST. Behind a
# body that includes the hidden request there is nothing.
CLEAR = {
    "CL.0 on GET": [401, 200],
    "TE with a tab": [400, 201, 200],
    "a chunk with an extension": [400, 201, 200],
    "a target in the absolute form": [405, 201, 200],
    "CONNECT": [404, 201, 200],
    "HTTP/1.2": [405, 201, 200],
    "an upgrade": [400, 200],
    "an upgrade with chunks": [400, 200],
    # The body is empty, and what follows is no request.
    "TE with an underscore": [400, 400],
}
STATUSES = {
    "TE with another coding first": [501],
    "a length over 64 bits": [413],
    "HTTP/2.1": [505],
    "the preface of HTTP/2": [505],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.gen_test
async def test_a_request_with_an_unclear_end_is_rejected_and_the_connection_closed(
    api: Api, dsn: str, name: str
) -> None:
    expected = CLEAR.get(name) or STATUSES.get(name) or [400]
    rest = await exchange(api, CASES[name] + LAST)
    statuses = []
    while rest:
        answer, rest = parse_answer(rest, "GET")
        statuses.append(answer.status)
    assert statuses == expected
    assert answer.headers["Connection"] == "close"
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(statuses.count(201),)]
