"""The methods of a path: 405 with Allow, HEAD like GET, OPTIONS."""

import pytest

from tests.harness.api import PASSWORD, Api, basic
from tests.harness.raw_http import answer_to, raw_request
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
ALLOWED = {
    "/api/user/register": ["POST", "OPTIONS"],
    "/api/user/login": ["GET", "POST", "OPTIONS"],
    "/api/user": ["GET", "HEAD", "PATCH", "DELETE", "OPTIONS"],
    "/health/live": ["GET", "HEAD", "OPTIONS"],
    "/health/ready": ["GET", "HEAD", "OPTIONS"],
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
UNHEARD_OF = ["BREW", "PROPFIND", "get", "Post", "options", "G3T", "X-Y", "__init__", "prepare"]


@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.gen_test
async def test_an_unsupported_method_is_405_with_allow(api: Api, path: str) -> None:
    await api.register()
    authorization = f"Authorization: {basic(EMAIL, PASSWORD)}"
    for method in {*METHODS, *UNHEARD_OF}.difference(ALLOWED[path]):
        answer = await answer_to(api, raw_request(method, path, authorization))
        assert answer.status == 405, method
        assert answer.headers["Allow"].split(", ") == ALLOWED[path]
        if method != "HEAD":
            assert answer.problem == "method-not-allowed"


@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.gen_test
async def test_options_returns_204_with_the_methods_without_credentials(
    api: Api, path: str
) -> None:
    answer = await api.request("OPTIONS", path)
    assert answer.status == 204
    assert answer.headers["Allow"].split(", ") == ALLOWED[path]


@pytest.mark.gen_test
async def test_options_returns_204_whatever_else_is_sent(api: Api) -> None:
    for headers in ([], ["Content-Type: text/plain"], ["Origin: https://example.com"]):
        answer = await answer_to(api, raw_request("OPTIONS", "/api/user", *headers, body=b"x"))
        assert answer.status == 204


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/api/user"])
@pytest.mark.parametrize("authorization", [basic(EMAIL, PASSWORD), basic(EMAIL, "wrong"), None])
@pytest.mark.gen_test
async def test_head_returns_what_get_does_without_the_body(
    api: Api, path: str, authorization: str | None
) -> None:
    await api.register()
    headers = {"X-Request-ID": "same"}
    got = await api.request("GET", path, authorization=authorization, headers=headers)
    headed = await api.request("HEAD", path, authorization=authorization, headers=headers)
    assert headed.status == got.status
    assert headed.content == b""
    one, other = (
        {name: value for name, value in answer.headers.get_all() if name != "Date"}
        for answer in (got, headed)
    )
    assert one == other
    assert int(one["Content-Length"]) == len(got.content)


@pytest.mark.gen_test
async def test_an_unknown_path_is_404_whatever_the_method(api: Api) -> None:
    for method in METHODS + UNHEARD_OF:
        answer = await answer_to(api, raw_request(method, "/nowhere"))
        assert answer.status == 404, method
        assert "Allow" not in answer.headers


@pytest.mark.gen_test
async def test_a_rejected_method_changes_nothing(api: Api, dsn: str) -> None:
    await api.register()
    authorization = basic(EMAIL, PASSWORD)
    for method in ("PUT", "POST", "delete"):
        await api.request(
            method, "/api/user", authorization=authorization, json_body={"name": "Susan"}
        )
    assert run_sql(dsn, "SELECT email, name FROM users") == [(EMAIL, None)]
