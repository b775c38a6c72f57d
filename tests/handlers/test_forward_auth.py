"""GET /api/verify for a proxy in front of browsers: the way to the page that signs in."""

from urllib.parse import parse_qs, urlsplit

import pytest

from contract.calls import Guard
from handlers import routes
from handlers.application import Application
from rules.credentials import PasswordCredentials
from rules.origin import LocalOrigin
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql

PAGE = "https://app.example.com"
HTTPS = {"X-Forwarded-Proto": "https"}
VERIFY = "/api/verify?sign_in=true"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# What Caddy and Traefik send about the request of a browser.
ASKED = {
    "Accept": HTML,
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Host": "www.example.com",
    "X-Forwarded-Uri": "/report?year=2026&q=a%20b",
}
trusted = override_settings(SERVER__TRUSTED_PROXIES="127.0.0.1/32")
on_its_own_host = override_settings(
    SERVER__TRUSTED_PROXIES="127.0.0.1/32", SERVER__PUBLIC_URL="https://www.example.com"
)


async def ask(api: Api, path: str = VERIFY, **changed: str | None) -> Answer:
    """Ask about the request of a browser with fields changed, named with _ for -, or left out."""
    fields = ASKED | {name.replace("_", "-"): value for name, value in changed.items()}
    headers = {name: value for name, value in fields.items() if value is not None}
    return await api.request("GET", path, headers=headers)


def is_redirect(answer: Answer) -> bool:
    """Return whether a browser is sent to sign in; otherwise the response is the usual 401."""
    if answer.status == 303:
        assert (answer.content, answer.headers.get("WWW-Authenticate")) == (b"", None)
        return True
    assert (answer.status, answer.problem) == (401, "credentials-missing")
    assert "Location" not in answer.headers
    return False


@trusted
@pytest.mark.gen_test
async def test_a_browser_is_sent_to_sign_in_and_back_to_the_same_path_and_query(api: Api) -> None:
    answer = await ask(api)
    assert (answer.status, answer.content) == (303, b"")
    location = urlsplit(answer.headers["Location"])
    assert (location.scheme, location.netloc, location.path) == ("", "", "/auth/sign-in")
    assert parse_qs(location.query) == {"next": [ASKED["X-Forwarded-Uri"]]}


@trusted
@pytest.mark.gen_test
async def test_only_requests_that_change_nothing_are_redirected(api: Api) -> None:
    for method, redirected in (
        *(("GET", True), ("HEAD", True), ("POST", False), ("PUT", False), ("PATCH", False)),
        *(("DELETE", False), ("OPTIONS", False), ("PROPFIND", False), ("get", False)),
        *(("GET,POST", False), ("", False), (None, False)),
    ):
        assert is_redirect(await ask(api, X_Forwarded_Method=method)) == redirected, method


@trusted
@pytest.mark.gen_test
async def test_only_browsers_are_redirected(api: Api) -> None:
    for accept, redirected in (
        *((HTML, True), ("text/html", True), ("application/json;q=0.5, TEXT/HTML", True)),
        *((None, False), ("*/*", False), ("application/json", False), ("text/*", False)),
        *(("text/html, application/json", False), ("text/html;q=0", False)),
        ("text/html;q=0.5, application/problem+json", False),
    ):
        assert is_redirect(await ask(api, Accept=accept)) == redirected, accept


@trusted
@pytest.mark.gen_test
async def test_a_script_is_not_redirected(api: Api) -> None:
    for accept in ("*/*", "text/html"):
        answer = await ask(api, Accept=accept, Sec_Fetch_Mode="cors")
        assert not is_redirect(answer)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert is_redirect(await ask(api, Sec_Fetch_Mode="navigate"))


@override_settings(SERVER__TRUSTED_PROXIES="127.0.0.1/32", PAGES__ENABLED=False)
@pytest.mark.gen_test
async def test_without_pages_no_browser_is_redirected(api: Api) -> None:
    assert not is_redirect(await ask(api))


@trusted
@pytest.mark.gen_test
async def test_without_sign_in_a_browser_gets_401_with_the_bearer_challenge_alone(
    api: Api,
) -> None:
    for query in (
        *("", "?sign_in", "?sign_in=", "?sign_in=false", "?sign_in=1", "?sign_in=True"),
        *("?SIGN_IN=true", "?sign_in=true&sign_in=true", "?sign_in=%ff", "?sign_in=true%00"),
    ):
        answer = await ask(api, f"/api/verify{query}")
        assert not is_redirect(answer), query
        [challenge] = answer.headers.get_list("WWW-Authenticate")
        assert challenge.startswith("Bearer ")


@trusted
@pytest.mark.gen_test
async def test_the_query_of_the_request_that_is_checked_does_not_matter(api: Api) -> None:
    assert is_redirect(await ask(api, f"{VERIFY}&page=2&next=//evil.example"))


@pytest.mark.gen_test
async def test_a_proxy_that_is_not_trusted_gets_401(api: Api) -> None:
    assert not is_redirect(await ask(api))


@override_settings(SERVER__TRUSTED_PROXIES="127.0.0.2/32")
@pytest.mark.gen_test
async def test_the_address_that_a_caller_claims_is_not_trusted(api: Api) -> None:
    assert not is_redirect(await ask(api, X_Forwarded_For="127.0.0.2"))


@trusted
@pytest.mark.gen_test
async def test_authorization_takes_precedence_and_is_401(api: Api) -> None:
    await api.registered_token()
    for wrong in (bearer("a.b.c"), basic("susan@example.com", "wrong password"), "Digest x", ""):
        answer = await api.request("GET", VERIFY, authorization=wrong, headers=ASKED)
        assert answer.status == 401


@trusted
@pytest.mark.gen_test
async def test_head_gets_the_same_redirect_as_get(api: Api) -> None:
    answers = [await api.request(method, VERIFY, headers=ASKED) for method in ("GET", "HEAD")]
    assert [answer.status for answer in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


@trusted
@pytest.mark.gen_test
async def test_the_location_is_a_path_of_the_same_host_whatever_the_request(api: Api) -> None:
    for target, following in (
        ("/", "/"),
        ("/?next=//evil.example&x=%2F#top", "/?next=//evil.example&x=%2F#top"),
        # The page that signs in decides which of them it follows.
        ("//evil.example/", "//evil.example/"),
        ("/\\evil.example", "/\\evil.example"),
        ("/" + "a" * 1999, "/" + "a" * 1999),
        ("/" + "a" * 2000, None),
        ("https://evil.example/", None),
        ("javascript:alert(1)", None),
        ("", None),
        (None, None),
    ):
        answer = await ask(api, X_Forwarded_Uri=target)
        assert is_redirect(answer)
        location = answer.headers["Location"]
        assert location.partition("?")[0] == "/auth/sign-in"
        assert location.isascii()
        expected = {} if following is None else {"next": [following]}
        assert parse_qs(urlsplit(location).query) == expected


@trusted
@pytest.mark.gen_test
async def test_a_proxy_that_asks_about_the_pages_themselves_starts_no_loop(api: Api) -> None:
    for page in ("sign-in", "sign-in?next=/", "account", ""):
        assert not is_redirect(await ask(api, X_Forwarded_Uri=f"/auth/{page}"))


@on_its_own_host
@pytest.mark.gen_test
async def test_only_the_host_of_the_pages_is_redirected_since_others_get_no_cookie(
    api: Api,
) -> None:
    for host, redirected in (
        *(("www.example.com", True), ("WWW.example.COM", True)),
        *(("app.example.com", False), ("www.example.com:8443", False)),
        *(("www.example.com, evil.example", False), ("", False), (None, False)),
    ):
        assert is_redirect(await ask(api, X_Forwarded_Host=host)) == redirected, host


@override_settings(SERVER__TRUSTED_PROXIES="127.0.0.1/32", SERVER__REQUIRE_HTTPS=True)
@pytest.mark.gen_test
async def test_403_is_never_a_redirect(api: Api) -> None:
    answer = await ask(api)
    assert (answer.status, answer.problem) == (403, "https-required")
    assert "Location" not in answer.headers


async def signed_in(api: Api, app: Application) -> str:
    """Register a user if there is none; return the value of the cookie of a new session."""
    await api.register()
    origin = LocalOrigin()
    identity = await app.services.identities.identify_by_password(
        PasswordCredentials("susan@example.com", PASSWORD), origin
    )
    session = await app.services.sessions.create(identity, origin, keep_signed_in=False)
    return session.token


@pytest.mark.gen_test
async def test_a_session_identifies_its_user(api: Api, app: Application, dsn: str) -> None:
    cookie = {"Cookie": f"a=b; userauth={await signed_in(api, app)}; c=d"}
    for method in ("GET", "HEAD"):
        for fields in (cookie, ASKED | cookie):
            answer = await api.request(method, VERIFY, headers=fields)
            assert (answer.status, answer.content) == (200, b"")
            assert answer.headers["X-Auth-Email"] == "susan@example.com"
    await app.services.usage.write()
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE last_used_at IS NOT NULL") == [(1,)]


@trusted
@pytest.mark.gen_test
async def test_the_name_of_the_cookie_is_that_of_the_connection(api: Api, app: Application) -> None:
    token = await signed_in(api, app)
    for name, fields, status in (
        ("userauth", {}, 200),
        ("__Host-userauth", HTTPS, 200),
        # A page of a subdomain can set it.
        ("userauth", HTTPS, 401),
        ("__Host-userauth", {}, 401),
        ("__host-userauth", HTTPS, 401),
        ("userauth-form", {}, 401),
        ("\xa0__Host-userauth", HTTPS, 401),
        ("\x85__Host-userauth", HTTPS, 401),
        ("__Host-userauth=planted; __Host-userauth", HTTPS, 401),
        ("userauth=planted; userauth", {}, 401),
    ):
        answer = await api.request("GET", VERIFY, headers=fields | {"Cookie": f"{name}={token}"})
        assert answer.status == status, (name, fields)


@pytest.mark.gen_test
async def test_beside_authorization_a_session_is_ignored(api: Api, app: Application) -> None:
    cookie = {"Cookie": f"userauth={await signed_in(api, app)}"}
    await api.register("john@example.com")
    token = await api.token("john@example.com")
    answer = await api.request("GET", VERIFY, authorization=bearer(token), headers=cookie)
    assert answer.headers["X-Auth-Email"] == "john@example.com"
    for wrong in (bearer("a.b.c"), basic("susan@example.com", "wrong"), "Digest x", "Bearer", ""):
        answer = await api.request("GET", VERIFY, authorization=wrong, headers=cookie)
        assert answer.status == 401


@trusted
@pytest.mark.gen_test
async def test_without_a_valid_session_a_browser_is_redirected_and_another_caller_gets_401(
    api: Api, app: Application
) -> None:
    token = await signed_in(api, app)
    login = await api.token()
    ended = await app.services.sessions.identify(token, LocalOrigin())
    await app.services.sessions.revoke(ended, LocalOrigin())
    for value in (token, login, "a.b.c", "", "x" * 4000, '"quoted"', token.upper()):
        cookie = {"Cookie": f"userauth={value}"}
        assert (await api.request("GET", VERIFY, headers=cookie)).status == 401
        answer = await api.request("GET", VERIFY, headers=ASKED | cookie)
        assert (answer.status, "Location" in answer.headers) == (303, True)


@pytest.mark.gen_test
async def test_a_session_that_ended_is_rejected_at_the_next_request(
    api: Api, app: Application, clock: Clock
) -> None:
    async def status(token: str) -> int:
        cookie = {"Cookie": f"userauth={token}"}
        return (await api.request("GET", "/api/verify", headers=cookie)).status

    token = await signed_in(api, app)
    other = await signed_in(api, app)
    assert [await status(token), await status(other)] == [200, 200]
    session = await app.services.sessions.identify(token, LocalOrigin())
    await app.services.sessions.revoke(session, LocalOrigin())
    assert [await status(token), await status(other)] == [401, 200]
    clock.advance(8 * 3600 + 60)
    assert await status(other) == 401


@pytest.mark.gen_test
async def test_a_disabled_user_has_no_session(api: Api, app: Application, dsn: str) -> None:
    cookie = {"Cookie": f"userauth={await signed_in(api, app)}"}
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    assert (await api.request("GET", VERIFY, headers=cookie)).status == 401


@pytest.mark.gen_test
async def test_no_other_call_accepts_a_session(api: Api, app: Application) -> None:
    token = await signed_in(api, app)
    cookie = {"Cookie": f"userauth={token}; __Host-userauth={token}"}
    accepted = []
    for path, handler in routes:
        target = str(path).replace("([^/]+)", "00000000-0000-0000-0000-000000000000")
        for method, call in handler.calls.items():
            if call.guard is Guard.ANYONE or method == "HEAD":
                continue
            answer = await api.request(method, target, headers=cookie)
            if answer.status not in {401, 403}:
                accepted.append((method, target))
    assert accepted == [("GET", "/api/verify")]
    for authorization in (bearer(token), basic(token), f"Basic {token}"):
        for path in ("/api/user", "/api/verify"):
            assert (await api.request("GET", path, authorization=authorization)).status == 401


@pytest.mark.parametrize(
    "settings", [{"CORS__ORIGINS": PAGE}, {"CORS__ORIGINS": "*"}], indirect=True
)
@pytest.mark.gen_test
async def test_no_page_of_another_origin_reads_a_response_to_a_request_with_a_session(
    api: Api, app: Application
) -> None:
    token = await signed_in(api, app)
    fields = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    for path in ("/api/verify", "/api/user", "/health/live", "/nowhere"):
        for method in ("GET", "OPTIONS"):
            allowed = await api.request(method, path, headers=fields)
            assert "Access-Control-Allow-Origin" in allowed.headers
            for name in ("userauth", "__Host-userauth"):
                for value in (token, "invalid"):
                    cookie = {"Cookie": f"a=b; {name}={value}"}
                    answer = await api.request(method, path, headers=fields | cookie)
                    assert not [name for name in answer.headers if name.startswith("Access-")]
