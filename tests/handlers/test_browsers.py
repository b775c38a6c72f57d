"""Browsers: no password dialog, and no credentials that they add for other sites."""

import pytest
from tornado.httputil import HTTPHeaders

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql
from transport.browsers import is_from_browser

EMAIL = "susan@example.com"
PAGE = "https://app.example.com"
EVIL = "https://evil.example"
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Origin": EVIL}
CHANGING = [
    ("GET", "/api/user/login"),
    ("POST", "/api/user/login"),
    ("PATCH", "/api/user"),
    ("DELETE", "/api/user"),
    ("POST", "/api/user/logout"),
    ("DELETE", "/api/user/tokens"),
    ("DELETE", "/api/user/tokens/f0000000-0000-4000-8000-000000000000"),
    ("POST", "/api/token/introspect"),
    ("POST", "/api/token/revoke"),
]

named = override_settings(CORS__ORIGINS=PAGE)
any_origin = override_settings(CORS__ORIGINS="*")


def schemes(answer: Answer) -> list[str]:
    return [value.split()[0] for value in answer.headers.get_list("WWW-Authenticate")]


@pytest.mark.parametrize("authorization", [None, basic(EMAIL, "wrong"), bearer("a.b.c")])
@pytest.mark.parametrize("mode", ["navigate", "cors", "no-cors", "same-origin"])
@pytest.mark.gen_test
async def test_verify_challenges_browsers_with_bearer_only(
    api: Api, authorization: str | None, mode: str
) -> None:
    answer = await api.request(
        "GET", "/api/verify", authorization=authorization, headers={"Sec-Fetch-Mode": mode}
    )
    assert (answer.status, schemes(answer)) == (401, ["Bearer"])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "Basic"),
        ("*/*", "Basic"),
        ("application/json", "Basic"),
        ("text/html;q=0.5, application/json", "Basic"),
        ("text/html, application/json", "Basic"),
        ("text/html;q=x", "Basic"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Bearer"),
        ("application/json;q=0.5, TEXT/HTML", "Bearer"),
    ],
)
def test_a_browser_is_recognized_by_preferring_html(accept: str, expected: str) -> None:
    assert is_from_browser(HTTPHeaders({"Accept": accept})) == (expected == "Bearer")


@pytest.mark.gen_test
async def test_other_calls_send_both_challenges_but_not_to_scripts(api: Api) -> None:
    for method, path in (
        ("GET", "/api/user"),
        ("GET", "/api/user/login"),
        ("POST", "/api/user/login"),
        ("GET", "/api/user/tokens"),
        ("POST", "/api/user/logout"),
    ):
        for mode, expected in (
            (None, ["Basic", "Bearer"]),
            ("navigate", ["Basic", "Bearer"]),
            ("cors", ["Bearer"]),
            ("same-origin", ["Bearer"]),
            ("no-cors", ["Bearer"]),
        ):
            headers = {} if mode is None else {"Sec-Fetch-Mode": mode}
            answer = await api.request(method, path, headers=headers)
            assert (answer.status, schemes(answer)) == (401, expected)


@pytest.mark.gen_test
async def test_a_script_that_logs_in_with_a_wrong_password_gets_no_password_dialog(
    api: Api,
) -> None:
    await api.register(EMAIL)
    fields = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    account = {"email": EMAIL, "password": "wrong"}
    for authorization, body in ((basic(EMAIL, "wrong"), None), (None, account)):
        answer = await api.request(
            "POST",
            "/api/user/login",
            authorization=authorization,
            json_body=body,
            headers=fields,
        )
        assert (answer.status, schemes(answer)) == (401, ["Bearer"])


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.gen_test
async def test_basic_from_a_page_of_another_site_changes_nothing_and_is_not_counted(
    api: Api, dsn: str, method: str, path: str
) -> None:
    await api.register(EMAIL)
    before = run_sql(dsn, "SELECT count(*) FROM events")
    for password in (PASSWORD, "wrong"):
        answer = await api.request(
            method, path, authorization=basic(EMAIL, password), headers=CROSS
        )
        assert (answer.status, answer.problem) == (403, "cross-site-request")
    assert run_sql(dsn, "SELECT count(*) FROM events") == before
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(0,)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/api/user", "/api/verify"])
@pytest.mark.gen_test
async def test_reading_by_basic_from_another_site_is_allowed(
    api: Api, method: str, path: str
) -> None:
    await api.register(EMAIL)
    answer = await api.request(method, path, authorization=basic(EMAIL, PASSWORD), headers=CROSS)
    assert answer.status == 200


@pytest.mark.gen_test
async def test_a_bearer_token_from_another_site_is_allowed(api: Api) -> None:
    token = await api.registered_token(EMAIL)
    answer = await api.request("DELETE", "/api/user", authorization=bearer(token), headers=CROSS)
    assert answer.status == 200


async def log_in_from(api: Api, **fields: str | None) -> int:
    """Log in with header fields, named with _ for -; return the status."""
    headers = {name.replace("_", "-"): value for name, value in fields.items() if value is not None}
    answer = await api.request(
        "GET", "/api/user/login", authorization=basic(EMAIL, PASSWORD), headers=headers
    )
    return answer.status


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.gen_test
async def test_pages_of_the_same_origin_log_in_by_basic(api: Api, site: str) -> None:
    await api.register(EMAIL)
    assert await log_in_from(api, Sec_Fetch_Site=site, Sec_Fetch_Mode="cors") == 200


@named
@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
@pytest.mark.gen_test
async def test_only_a_listed_page_logs_in(api: Api, site: str | None) -> None:
    await api.register(EMAIL)
    origins = (PAGE, EVIL, PAGE + ":8443", "null", "")
    answers = [await log_in_from(api, Sec_Fetch_Site=site, Origin=origin) for origin in origins]
    assert answers == [200, 403, 403, 403, 403]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none, same-origin", "anything"])
@pytest.mark.gen_test
async def test_a_page_of_a_sibling_host_does_not_log_in_without_its_origin(
    api: Api, site: str
) -> None:
    await api.register(EMAIL)
    assert await log_in_from(api, Sec_Fetch_Site=site) == 403


@pytest.mark.gen_test
async def test_a_browser_that_sends_only_origin_logs_in_if_it_matches_host(
    api: Api,
) -> None:
    await api.register(EMAIL)
    for host, origin, status in (
        ("auth.example.com", "https://auth.example.com", 200),
        ("Auth.example.com:8443", "https://auth.example.com:8443", 200),
        ("[::1]:8000", "http://[::1]:8000", 200),
        ("auth.example.com", "https://auth.example.com:8443", 403),
        ("auth.example.com", "https://www.example.com", 403),
        ("auth.example.com", "null", 403),
    ):
        assert await log_in_from(api, Host=host, Origin=origin) == status, origin


@pytest.mark.gen_test
async def test_callers_other_than_browsers_are_not_rejected(api: Api) -> None:
    await api.register(EMAIL)
    assert await log_in_from(api) == 200


@any_origin
@pytest.mark.gen_test
async def test_with_any_origin_every_page_logs_in(api: Api) -> None:
    await api.register(EMAIL)
    assert await log_in_from(api, Sec_Fetch_Site="cross-site", Origin=EVIL) == 200
