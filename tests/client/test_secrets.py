"""Secrets appear in no repr, message, traceback or log."""

import base64
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.client_drivers import DrivenClient, Driver
from tests.harness.processes import free_port
from tests.harness.stub_server import http_response, stub_server
from userauth_client import Token, UserAuthError, calls

EMAIL = "susan@example.com"
PASSWORD = "hunter22-of-susan"
TOKEN = "0a1b.1795604905.c2VjcmV0"
SECRETS = [PASSWORD, TOKEN, base64.b64encode(f"{EMAIL}:{PASSWORD}".encode()).decode()]
CALLS: dict[str, Callable[[DrivenClient], Any]] = {
    "log_in": lambda client: client.log_in(EMAIL, PASSWORD),
    "register": lambda client: client.register(EMAIL, PASSWORD),
    "update_user": lambda client: client.with_token(TOKEN).update_user(
        password=PASSWORD, current_password=PASSWORD
    ),
    "get_user": lambda client: client.with_token(TOKEN).get_user(),
    "by password": lambda client: client.with_password(EMAIL, PASSWORD).get_user(),
    "introspect": lambda client: client.with_service("billing", PASSWORD).introspect(TOKEN),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def has_no_secret(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def check(raised: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Assert that neither an exception, nor its causes, nor the log contain a secret."""
    text = "".join(traceback.format_exception(raised))
    assert has_no_secret(text), text
    error: BaseException | None = raised
    while error is not None:
        assert has_no_secret(f"{error} {error!r} {error.args}")
        error = error.__cause__
    assert has_no_secret(caplog.text)


@each_call
@pytest.mark.parametrize(
    "response",
    [
        http_response(401, b"{}", media_type="application/problem+json"),
        http_response(502, f"{PASSWORD} {TOKEN}".encode(), media_type="text/html"),
        http_response(200, f'["{PASSWORD}", "{TOKEN}"'.encode()),
        http_response(200, f'{{"token": "{TOKEN}", "expires_at": "{TOKEN}"}}'.encode()),
        b"",
    ],
    ids=range(5),
)
def test_a_rejected_call_shows_no_secret(
    driver: Driver, call: Any, response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with stub_server(response) as stub, pytest.raises(UserAuthError) as raised:
        call(driver.open(stub.url))
    check(raised.value, caplog)


@each_call
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_that_echoes_the_request_shows_no_secret(
    driver: Driver, call: Any, before: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with stub_server(before, echoes=True) as stub, pytest.raises(UserAuthError) as raised:
        call(driver.open(stub.url))
    check(raised.value, caplog)


@each_call
def test_a_stopped_server_shows_no_secret(
    driver: Driver, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UserAuthError) as raised:
        call(driver.open(f"http://127.0.0.1:{free_port()}"))
    check(raised.value, caplog)


@pytest.mark.parametrize("broken", ["\ud800", "\r\n", "é"])
def test_an_invalid_argument_shows_no_secret(
    driver: Driver, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = driver.open("https://auth.example.com")
    for call in (
        lambda: client.with_token(TOKEN + broken),
        lambda: client.log_in(f"{PASSWORD}:{broken}", PASSWORD),
        lambda: client.log_in(EMAIL, f"{PASSWORD}\ud800"),
        lambda: client.introspect(f"{TOKEN}\ud800"),
        lambda: client.list_events(before=f"{TOKEN}\ud800"),
    ):
        with pytest.raises(UserAuthError) as raised:
            call()
        check(raised.value, caplog)


def test_the_repr_of_clients_tokens_and_calls_shows_no_secret(driver: Driver) -> None:
    client = driver.open("https://auth.example.com", token=TOKEN)
    for value in (
        client,
        client.with_password(EMAIL, PASSWORD),
        client.with_service("billing", PASSWORD),
        Token(TOKEN),
        client.client._credentials.current,  # noqa: SLF001
        calls.log_in(EMAIL, PASSWORD),
        calls.register(EMAIL, PASSWORD, None, None),
        calls.confirm_verification(TOKEN, None),
        calls.confirm_password_reset(PASSWORD, TOKEN, None, None),
        calls.change_email(EMAIL, PASSWORD),
        calls.introspect(TOKEN),
    ):
        assert has_no_secret(f"{value!r} {value}")
    assert "auth.example.com" in repr(client)
