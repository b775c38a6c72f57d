"""The order of checks: path, method, credentials, media type, size, query, 400, 422."""

import pytest

from tests.harness.api import Api
from tests.harness.raw_http import JSON, answer_to, raw_request

TEXT = "Content-Type: text/plain"
TOO_LARGE = b"x" * 70_000
NO_JSON = b"[1, 2"
WRONG_FIELDS = b'{"nickname": "Sue"}'
USER, REGISTER, LOGIN = "/api/user", "/api/user/register", "/api/user/login"
GOOD = "Authorization: Bearer TOKEN"
BAD = "Authorization: Bearer nonsense"


# The status, the call, the header fields and the body.
REQUESTS = [
    # 404 before 405, 401, 415, 413, 400 and 422
    (404, ("BREW", "/nowhere"), [BAD], b""),
    (404, ("DELETE", "/api/user/"), [BAD, TEXT], TOO_LARGE),
    (404, ("POST", "/nowhere"), [JSON], TOO_LARGE),
    (404, ("POST", "/nowhere"), [TEXT], NO_JSON),
    (404, ("POST", "/nowhere"), [JSON], WRONG_FIELDS),
    # 405 before 401, 415, 413, 400 and 422
    (405, ("POST", USER), [BAD], b""),
    (405, ("PUT", USER), [], b""),
    (405, ("BREW", USER), [BAD, TEXT], TOO_LARGE),
    (405, ("PATCH", REGISTER), [TEXT], NO_JSON),
    (405, ("DELETE", REGISTER), [JSON], TOO_LARGE),
    (405, ("POST", "/health/live"), [JSON], WRONG_FIELDS),
    # 401 before 415, 413, 400 and 422
    (401, ("PATCH", USER), [BAD, TEXT], NO_JSON),
    (401, ("PATCH", USER), [BAD, JSON], TOO_LARGE),
    (401, ("PATCH", USER), [JSON], NO_JSON),
    (401, ("PATCH", USER), [JSON], WRONG_FIELDS),
    (401, ("DELETE", USER), [BAD, TEXT], TOO_LARGE),
    (401, ("POST", LOGIN), [GOOD, TEXT], NO_JSON),
    (401, ("GET", LOGIN), [GOOD, JSON], WRONG_FIELDS),
    # a login by its body has no credentials before these
    (415, ("POST", LOGIN), [TEXT], TOO_LARGE),
    (413, ("POST", LOGIN), [JSON], TOO_LARGE),
    (400, ("POST", LOGIN), [JSON], NO_JSON),
    (422, ("POST", LOGIN), [JSON], WRONG_FIELDS),
    # 415 before 413, 400 and 422
    (415, ("PATCH", USER), [GOOD, TEXT], TOO_LARGE),
    (415, ("POST", REGISTER), [TEXT], TOO_LARGE),
    (415, ("POST", REGISTER), [TEXT], NO_JSON),
    (415, ("POST", REGISTER), [], WRONG_FIELDS),
    (415, ("POST", REGISTER), [JSON, "Content-Encoding: gzip"], TOO_LARGE),
    # 413 before 400 and 422
    (413, ("PATCH", USER), [GOOD, JSON], TOO_LARGE),
    (413, ("POST", REGISTER), [JSON], NO_JSON + TOO_LARGE),
    (413, ("POST", REGISTER), [JSON], WRONG_FIELDS + b" " * 70_000),
    (413, ("GET", "/health/live"), [JSON], TOO_LARGE),
    # 401, 415 and 413 before 422 of the query, and that before 400 and 422 of the body
    (401, ("GET", f"{USER}?x=1"), [BAD], b""),
    (415, ("PATCH", f"{USER}?x=1"), [GOOD, TEXT], NO_JSON),
    (413, ("PATCH", f"{USER}?x=1"), [GOOD, JSON], TOO_LARGE),
    (422, ("PATCH", f"{USER}?x=1"), [GOOD, JSON], NO_JSON),
    # 400 before 422 of the body
    (400, ("PATCH", USER), [GOOD, JSON], WRONG_FIELDS + b"x"),
    (400, ("POST", REGISTER), [JSON], b'{"nickname": NaN}'),
    (400, ("POST", REGISTER), [JSON], b"[]"),
    (422, ("POST", REGISTER), [JSON], WRONG_FIELDS),
    (422, ("PATCH", USER), [GOOD, JSON], WRONG_FIELDS),
]


@pytest.mark.gen_test
async def test_of_several_errors_the_first_in_order_is_returned(api: Api) -> None:
    token = await api.registered_token()
    for status, call, headers, body in REQUESTS:
        lines = [header.replace("TOKEN", token) for header in headers]
        answer = await answer_to(api, raw_request(*call, *lines, body=body))
        assert answer.status == status, (call, headers, body[:40])


@pytest.mark.gen_test
async def test_fields_are_rejected_before_a_taken_address(api: Api) -> None:
    await api.register()
    assert (await api.register(password="short")).status == 422
    assert (await api.register(password="long enough")).status == 409
