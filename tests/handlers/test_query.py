"""Query parameters that a call does not declare: 422, except where proxies or people add some."""

from urllib.parse import quote

import pytest

from handlers import routes
from handlers.application import Application
from services.clients import ClientSecret
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
IGNORING = {"/api/verify", "/health/live", "/health/ready"}
CALLS = [
    (method, path.replace("([^/]+)", "00000000-0000-0000-0000-000000000000"))
    for path, handler in routes
    for method in handler.calls
]
REJECTING = [(method, path) for method, path in CALLS if path not in IGNORING]


def authorization_for(path: str, token: str, client: ClientSecret) -> str:
    """Return credentials that a path accepts."""
    if path.startswith("/api/token/"):
        return basic(client.client_id, client.secret)
    return basic(EMAIL, PASSWORD) if path == "/api/user/login" else bearer(token)


def unknown_parameters(answer: Answer) -> list[str]:
    """Return the parameters that a 422 names, each as unknown."""
    assert (answer.status, answer.problem) == (422, "invalid-fields")
    messages = {error["message"] for error in answer.json["errors"]}
    assert messages == {"is not a query parameter of this call"}
    return [error["field"] for error in answer.json["errors"]]


@override_settings(**MAIL)
@pytest.mark.gen_test
async def test_every_call_rejects_an_unknown_parameter_and_names_it(
    api: Api, app: Application
) -> None:
    client = await app.services.clients.add("billing")
    token = await api.registered_token(EMAIL)
    for method, path in REJECTING:
        authorization = authorization_for(path, token, client)
        answer = await api.request(method, f"{path}?sort=name&x", authorization=authorization)
        if method == "HEAD":
            assert answer.status == 422, path
            continue
        assert unknown_parameters(answer) == ["sort", "x"], (method, path)
        beginning = "Correct the query and send the request again: sort "
        assert answer.json["detail"].startswith(beginning), (method, path)
        assert "body" not in answer.json["title"] + answer.json["detail"], (method, path)


@pytest.mark.gen_test
async def test_a_rejected_query_changes_nothing(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    for method, path in (
        ("DELETE", "/api/user"),
        ("POST", "/api/user/logout"),
        ("DELETE", "/api/user/tokens"),
        ("POST", "/api/user/login"),
    ):
        credentials = basic(EMAIL, PASSWORD) if path.endswith("login") else bearer(token)
        answer = await api.request(method, f"{path}?force=1", authorization=credentials)
        assert unknown_parameters(answer) == ["force"]
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(1,)]
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(1,)]


@pytest.mark.parametrize("query", ["page=2&email=a@b.c", "keep_current=true", "%ff=%zz", "limit=0"])
@pytest.mark.gen_test
async def test_verify_ignores_the_query_that_a_proxy_adds(api: Api, query: str) -> None:
    token = await api.registered_token()
    answer = await api.request("GET", f"/api/verify?{query}", authorization=bearer(token))
    assert answer.status == 200
    assert (await api.request("GET", f"/api/verify?{query}")).status == 401


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json"])
@pytest.mark.gen_test
async def test_health_checks_and_documents_ignore_the_query(api: Api, path: str) -> None:
    assert (await api.request("GET", f"{path}?v=7")).status == 200


@pytest.mark.gen_test
async def test_a_known_parameter_beside_an_unknown_one_does_not_help(api: Api) -> None:
    token = await api.registered_token()
    for path, unknown in (
        ("/api/user/events?limit=1&page=2", "page"),
        ("/api/user/events?LIMIT=1", "LIMIT"),
        ("/api/user/events?limit=1&keep_current=true", "keep_current"),
        ("/api/user/tokens?limit=1", "limit"),
    ):
        answer = await api.request("GET", path, authorization=bearer(token))
        assert unknown_parameters(answer) == [unknown]


@pytest.mark.gen_test
async def test_the_name_of_an_unknown_parameter_is_decoded_and_truncated(api: Api) -> None:
    token = await api.registered_token()
    for query, names in (
        (quote("größe") + "=1", ["größe"]),
        ("%ff=1", ["\ufffd"]),
        ("=1", [""]),
        ("a=1&a=2", ["a"]),
        ("x" * 10_000, ["x" * 100]),
        ("&".join(f"x{number}" for number in range(90)), [f"x{number}" for number in range(20)]),
    ):
        answer = await api.request("GET", f"/api/user?{query}", authorization=bearer(token))
        assert unknown_parameters(answer) == names


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/user/events?limit=%ff"),
        ("GET", "/api/user/events?before=%ed%a0%80"),
        ("DELETE", "/api/user/tokens?keep_current=%ff"),
        ("DELETE", "/api/user/tokens/%ff"),
    ],
)
@pytest.mark.gen_test
async def test_a_value_in_the_query_or_the_path_that_is_not_utf8_is_400_and_named(
    api: Api, method: str, path: str
) -> None:
    token = await api.registered_token()
    answer = await api.request(method, path, authorization=bearer(token))
    assert (answer.status, answer.problem) == (400, "malformed-request")
    assert answer.json["detail"] == "Send the path and the query in UTF-8."


@pytest.mark.gen_test
async def test_an_id_that_is_not_utf8_is_rejected_before_credentials_and_a_value_after_them(
    api: Api,
) -> None:
    assert (await api.request("DELETE", "/api/user/tokens/%ff")).status == 400
    assert (await api.request("GET", "/api/user/events?limit=%ff")).status == 401


@pytest.mark.gen_test
async def test_an_empty_query_is_accepted(api: Api) -> None:
    token = await api.registered_token()
    for query in ("?", "?&", "?&&"):
        answer = await api.request("GET", f"/api/user{query}", authorization=bearer(token))
        assert answer.status == 200


@pytest.mark.gen_test
async def test_options_ignores_the_query(api: Api) -> None:
    assert (await api.request("OPTIONS", "/api/user?x=1")).status == 204
