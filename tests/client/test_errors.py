"""Rejected requests and unexpected responses, as exceptions."""

import json
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import userauth_client
from rules.errors import Problem, problem_types
from tests.harness.api import PASSWORD
from tests.harness.client_drivers import EMAIL, DrivenClient, Driver
from tests.harness.command_line import manage
from tests.harness.processes import free_port, running_server
from tests.harness.stub_server import http_response, stub_server
from userauth_client import (
    Conflict,
    FieldError,
    Forbidden,
    InternalError,
    InvalidArgumentError,
    InvalidFields,
    MalformedRequest,
    NotFound,
    ProblemError,
    TimedOutError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedResponseError,
    UnreachableError,
    UserAuthError,
)

CLASSES = {
    400: MalformedRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: InvalidFields,
    429: TooManyRequests,
    500: InternalError,
    503: Unavailable,
}
PROBLEM = "application/problem+json; charset=UTF-8"


@pytest.mark.parametrize("problem", list(problem_types()), ids=lambda problem: problem.name)
def test_each_problem_type_of_the_server_raises_the_exception_of_its_status(
    driver: Driver, problem: type[Problem]
) -> None:
    document = {
        "type": f"/docs/problems.md#{problem.name}",
        "title": problem.title,
        "status": problem.status,
        "detail": "Do something else.",
        "request_id": "3f6c",
        "errors": [{"field": "email", "message": "is required"}],
    }
    body = json.dumps(document).encode()
    response = http_response(problem.status, body, media_type=PROBLEM)
    with stub_server(response) as stub, pytest.raises(ProblemError) as raised:
        driver.open(stub.url).get_user()
    error = raised.value
    assert type(error) is CLASSES.get(problem.status, ProblemError)
    assert (error.type, error.title, error.status) == (
        document["type"],
        document["title"],
        document["status"],
    )
    assert (error.detail, error.request_id) == ("Do something else.", "3f6c")
    assert error.errors == (FieldError("email", "is required"),)
    assert str(error) == f"{problem.status} {problem.title}: Do something else. (request 3f6c)"


def test_the_server_rejects_requests_with_the_documented_exceptions(
    client: DrivenClient, dsn: str
) -> None:
    client.register(EMAIL, PASSWORD)
    susan = client.with_password(EMAIL, PASSWORD)
    with pytest.raises(MalformedRequest):
        susan.update_user(name="\ud800")
    with pytest.raises(Unauthorized) as unauthorized:
        client.log_in(EMAIL, "a wrong password")
    assert unauthorized.value.type == "/docs/problems.md#credentials-invalid"
    assert unauthorized.value.request_id
    with pytest.raises(NotFound):
        susan.revoke_token("nonsense")
    with pytest.raises(Conflict):
        client.register(EMAIL, PASSWORD)
    with pytest.raises(ProblemError) as too_large:
        susan.update_user(name="x" * 70_000)
    assert too_large.value.status == 413
    with pytest.raises(InvalidFields) as invalid:
        client.register("bob@example.com", "short")
    assert invalid.value.errors == (
        FieldError("password", "must have 8 to 1024 characters", "password-too-short"),
    )
    with pytest.raises(InvalidFields):
        susan.list_events(limit=101)
    assert manage("users", "disable", EMAIL, DATABASE_URL=dsn).returncode == 0
    with pytest.raises(Forbidden):
        client.log_in(EMAIL, PASSWORD)


def test_too_many_failed_logins_raise_the_seconds_to_wait(client: DrivenClient) -> None:
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(Unauthorized):
            client.log_in(EMAIL, "a wrong password")
    with pytest.raises(TooManyRequests) as raised:
        client.log_in(EMAIL, "a wrong password")
    assert raised.value.retry_after is not None
    assert 60 - (time.monotonic() - began) <= raised.value.retry_after <= 60


def test_a_stopping_server_is_unavailable_and_then_unreachable(
    driver: Driver, dsn: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": dsn, "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "60"}
    with running_server(variables, tmp_path / "log") as server:
        client = driver.open(server.url)
        client.check_ready()
        server.signal(signal.SIGTERM)
        with pytest.raises(Unavailable) as raised:
            while True:
                client.check_ready()
        assert raised.value.retry_after == 1
        server.signal(signal.SIGKILL)
        server.wait()
        with pytest.raises(UnreachableError):
            client.check_live()


def test_a_stopped_server_is_unreachable(driver: Driver) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError) as raised:
        driver.open(url).log_in(EMAIL, PASSWORD)
    assert url in str(raised.value)


def test_a_server_that_does_not_respond_times_out(driver: Driver) -> None:
    with stub_server(None) as stub, pytest.raises(TimedOutError):
        driver.open(stub.url, timeout_seconds=0.2).get_user()


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_incomplete_response_is_unreachable(driver: Driver, response: bytes) -> None:
    with stub_server(response) as stub, pytest.raises(UnreachableError):
        driver.open(stub.url).get_user()


@contextmanager
def unexpected(
    driver: Driver, response: bytes, **options: Any
) -> Iterator[UnexpectedResponseError]:
    """Send one request to a server with a fixed response; yield the exception."""
    with stub_server(response) as stub:
        client = driver.open(stub.url, token="a.b", **options)
        with pytest.raises(UnexpectedResponseError) as raised:
            client.get_user()
        assert len(stub.requests) == 1
        yield raised.value


def test_the_error_page_of_a_proxy_is_unexpected_and_not_quoted(driver: Driver) -> None:
    page = http_response(502, b"<h1>Bad Gateway</h1>", "Retry-After: 7", media_type="text/html")
    with unexpected(driver, page) as error:
        assert (error.status, error.retry_after) == (502, 7)
        assert "502" in str(error)
        assert "Gateway" not in repr(error)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_not_followed(driver: Driver, status: int) -> None:
    with stub_server(http_response(200, b"{}")) as elsewhere:
        redirect = http_response(status, b"", f"Location: {elsewhere.url}/api/user")
        with unexpected(driver, redirect) as error:
            assert "redirect" in str(error)
        assert elsewhere.requests == []


VALID = {
    "id": "7c9f",
    "email": EMAIL,
    "name": None,
    "created_at": "2026-11-24T11:08:25.123Z",
    "updated_at": "2026-11-24T11:08:25.123Z",
}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b"9" * 10_000,
        b"{}",
        *(
            json.dumps({**VALID, **wrong}).encode()
            for wrong in (
                {"id": None},
                {"id": 5},
                {"name": 5},
                {"created_at": "yesterday"},
                {"created_at": "2026-11-24T11:08:25.123"},
                {"created_at": "0001-01-01T00:00:00+23:00"},
            )
        ),
    ],
    ids=range(13),
)
def test_a_malformed_body_is_unexpected(driver: Driver, body: bytes) -> None:
    with unexpected(driver, http_response(200, body)) as error:
        assert error.__cause__ is None


@pytest.mark.parametrize(
    "response",
    [
        http_response(200, b"<html>", media_type="text/html"),
        http_response(202, json.dumps(VALID).encode()),
        http_response(200, json.dumps(VALID).encode(), "Content-Encoding: gzip"),
        http_response(500, b"nonsense", media_type=PROBLEM),
        http_response(422, b'{"errors": [5]}', media_type=PROBLEM),
    ],
    ids=range(5),
)
def test_a_response_of_another_kind_is_unexpected(driver: Driver, response: bytes) -> None:
    with unexpected(driver, response):
        pass


@pytest.mark.parametrize("body", [b"{}", b'{"active": "true"}', b'{"active": true}'])
def test_a_token_is_active_only_if_the_response_is_complete(driver: Driver, body: bytes) -> None:
    with stub_server(http_response(200, body)) as stub, pytest.raises(UnexpectedResponseError):
        driver.open(stub.url).introspect("a.b")


def test_unknown_members_are_ignored(driver: Driver) -> None:
    body = json.dumps({**VALID, "shoe_size": 39}).encode()
    with stub_server(http_response(200, body)) as stub:
        assert driver.open(stub.url).get_user().email == EMAIL


def test_a_response_is_read_only_up_to_its_maximum_size(driver: Driver) -> None:
    flood = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * 300_000
    with unexpected(driver, flood, max_response_bytes=100_000) as error:
        assert "100000 bytes" in str(error)


@pytest.mark.parametrize("text", ["Wed, 25 Nov 2026 11:00:00 GMT", "-1", "1e3", "9" * 30, "٣"])
def test_a_retry_after_that_is_not_a_number_of_seconds_is_none(driver: Driver, text: str) -> None:
    response = http_response(503, b"{}", f"Retry-After: {text}", media_type=PROBLEM)
    with stub_server(response) as stub, pytest.raises(Unavailable) as raised:
        driver.open(stub.url).get_user()
    assert raised.value.retry_after is None
    assert raised.value.type == "about:blank"


def test_cookies_are_not_stored_and_proxies_of_the_environment_not_used(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stub_server(http_response(200, b"{}")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        response = http_response(200, json.dumps(VALID).encode(), "Set-Cookie: user=susan; Path=/")
        with stub_server(response) as stub:
            client = driver.open(stub.url)
            client.get_user()
            client.get_user()
        assert len(stub.requests) == 2
        assert proxy.requests == []
    assert "cookie" not in "".join(stub.requests).lower()


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "auth.example.com",
        "//auth.example.com",
        "ftp://auth.example.com",
        "https://",
        "https://auth example.com",
        "https://auth.example.com\r\n",
        "https://auth.example.com:0",
        "https://auth.example.com:99999",
        "https://auth.example.com:port",
        "https://susan:hunter22@auth.example.com",
        "https://auth.example.com/?token=hunter22",
        "https://auth.example.com/#hunter22",
    ],
)
def test_an_invalid_base_url_is_rejected_and_not_quoted(driver: Driver, base_url: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        driver.open(base_url)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("suffix", "path"),
    [("", "/api/user"), ("/", "/api/user"), ("/auth/", "/auth/api/user")],
)
def test_a_base_url_may_have_a_path(driver: Driver, suffix: str, path: str) -> None:
    with stub_server(http_response(200, json.dumps(VALID).encode())) as stub:
        driver.open(stub.url + suffix).get_user()
    assert stub.requests[0].startswith(f"GET {path} HTTP/1.1")


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": float("inf")},
        {"max_response_bytes": 0},
        {"user_agent": ""},
        {"user_agent": "Süsan"},
        {"user_agent": "x\r\nAuthorization: Bearer a.b"},
        {"token": "a.b\r\nHost: elsewhere"},
    ],
    ids=repr,
)
def test_an_invalid_option_is_rejected(driver: Driver, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        driver.open("https://auth.example.com", **options)


@pytest.mark.parametrize("token_id", ["", ".", "..", "../../user", "a/b", "a?b", "é"])
def test_an_id_cannot_change_the_path(driver: Driver, token_id: str) -> None:
    with pytest.raises(InvalidArgumentError):
        driver.open("https://auth.example.com").revoke_token(token_id)


def test_a_colon_before_the_password_is_rejected(driver: Driver) -> None:
    client = driver.open("https://auth.example.com")
    with pytest.raises(InvalidArgumentError):
        client.log_in("susan@example.com:pass", "word")
    with pytest.raises(InvalidArgumentError):
        client.with_service("id:secret", "")


def test_every_exception_is_exported_in_one_tree_and_survives_pickling() -> None:
    problem = userauth_client.Problem("about:blank", "Not now", 503, "Wait.", retry_after=3)
    errors = [
        Unavailable(problem),
        UnexpectedResponseError("The response is not JSON.", 200, 5),
        UnreachableError("The connection was refused."),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled above
        assert (type(again), str(again)) == (type(error), str(error))
        assert vars(again) == vars(error)
    exported = [getattr(userauth_client, name) for name in userauth_client.__all__]
    for value in exported:
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, UserAuthError)
