"""Request targets: unknown paths, odd spellings, queries, the absolute form."""

import pytest

from tests.harness.api import Api
from tests.harness.raw_http import JSON, answer_to, raw_request
from tests.harness.sql import run_sql

UNKNOWN = [
    "//",
    "/api",
    "/api/",
    "/health",
    "/users",
    "/api/user/",
    "/api/user/login/",
    "/api/user/register/x",
    "/api/users",
    "/api/User",
    "/API/USER",
    "//api/user",
    "/api//user",
    "///health/live",
    "/./health/live",
    "/api/./user",
    "/api/%2e/user",
    "/api/../health/live",
    "/%2e%2e/health/live",
    "/../../../etc/passwd",
    "/health%2flive",
    "/api/user%2Flogin",
    "/api/user%00",
    "/api/user%0a",
    "/api/user%20",
    "/api/user%",
    "/api/%zz",
    "/api/%ff",
    "/api/user;x=y",
    "/api/user#x",
    "/api/user&x",
    "/api/üser",
    "/api/user\\",
    "/favicon.ico",
    "/.git/config",
    "/docs/",
    "/docs/index.html",
    "/docs/docs.html",
    "/docs/swagger-ui",
    "/docs/swagger-ui/swagger-ui.css",
    "/docs/swagger-ui.css/",
    "/docs/../settings.toml",
    "/docs/%2e%2e/settings.toml",
    "/docs/..%2fsettings.toml",
    "/docs/docs%2fcss",
    "/docs//docs.css",
    "/docs/security.md",
    "/openapi.yaml",
    "/openapi.json/",
    "/static/x",
    "/" + "x" * 15_000,
    "/" + "x/" * 7_000,
    "*",
    "health/live",
    "example.com:443",
]


@pytest.mark.gen_test
async def test_any_other_path_is_404(api: Api) -> None:
    answers = {path: await answer_to(api, raw_request("GET", path)) for path in UNKNOWN}
    outcomes = {path: (answer.status, answer.problem) for path, answer in answers.items()}
    assert outcomes == dict.fromkeys(UNKNOWN, (404, "not-found"))


@pytest.mark.parametrize(
    "path", ["/health/%6cive", "/%68ealth/live", "/h%65%61lth/l%69v%65", "http://a/health/%6Cive"]
)
@pytest.mark.gen_test
async def test_percent_encoding_of_unreserved_characters_makes_no_difference(
    api: Api, path: str
) -> None:
    """RFC 3986, section 6.2.2.2."""
    answer = await answer_to(api, raw_request("GET", path))
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.gen_test
async def test_options_of_the_whole_server_returns_the_methods_of_all_paths(api: Api) -> None:
    """RFC 9110, section 9.3.7."""
    answer = await answer_to(api, raw_request("OPTIONS", "*"))
    methods = set(answer.headers["Allow"].split(", "))
    assert (answer.status, methods) == (
        204,
        {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"},
    )
    assert (await answer_to(api, raw_request("OPTIONS", "/nowhere"))).status == 404


@pytest.mark.parametrize("path", [b"/api/\xff", b"/\x80\x81", b"/api/user\xc3"])
@pytest.mark.gen_test
async def test_a_path_that_is_not_text_is_404(api: Api, path: bytes) -> None:
    request = raw_request("GET", "/HERE").replace(b"/HERE", path)
    answer = await answer_to(api, request)
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"x",
        b"&&&===;;;",
        b"%",
        b"%zz=%",
        b"%ff=%00",
        b"\xff\xfe=\x80",
        b"a=1&a=2&a[]=3",
        b"_method=DELETE&email=a&password=b",
        b"?/health/ready?",
        b"'%20OR%201=1;--",
        b"x" * 15_000,
    ],
    ids=lambda query: f"{query[:20]!r}-{len(query)}",
)
@pytest.mark.gen_test
async def test_a_query_changes_nothing_where_it_is_ignored(api: Api, query: bytes) -> None:
    request = raw_request("GET", "/health/live?HERE").replace(b"HERE", query)
    answer = await answer_to(api, request)
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.gen_test
async def test_credentials_in_the_query_are_ignored(api: Api) -> None:
    token = await api.registered_token()
    answer = await api.request("GET", f"/api/user?token={token}&access_token={token}")
    assert (answer.status, answer.problem) == (401, "credentials-missing")


@pytest.mark.gen_test
async def test_fields_in_the_query_register_no_user(api: Api, dsn: str) -> None:
    answer = await api.request(
        "POST", "/api/user/register?email=a@example.com&password=password", json_body={}
    )
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == ["email", "password"]
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/health/live",
        "http://example.com:80/health/live?x=y",
        "https://example.com/health/live",
        "HTTP://example.com/health/live",
    ],
)
@pytest.mark.gen_test
async def test_a_target_in_the_absolute_form_is_served(api: Api, target: str) -> None:
    """A server must take it (RFC 9112, section 3.2.2)."""
    answer = await answer_to(api, raw_request("GET", target))
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "target",
    ["http://example.com/nowhere", "http://[/health/live", "http:///nowhere", "foo:/health/live"],
)
@pytest.mark.gen_test
async def test_a_target_in_the_absolute_form_with_an_unknown_path_is_404(
    api: Api, target: str
) -> None:
    answer = await answer_to(api, raw_request("GET", target))
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.gen_test
async def test_no_form_of_a_target_bypasses_the_credentials(api: Api, dsn: str) -> None:
    await api.register()
    missing, unknown = (401, "credentials-missing"), (404, "not-found")
    for target, refusal in {
        "/api/user": missing,
        "/api/user?x": missing,
        "/api/%75ser": missing,
        "http://example.com/api/user": missing,
        "//api/user": unknown,
    }.items():
        for method in ("GET", "PATCH", "DELETE"):
            answer = await answer_to(api, raw_request(method, target, JSON, body=b"{}"))
            assert (answer.status, answer.problem) == refusal, (method, target)
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(1,)]
