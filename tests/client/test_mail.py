"""The calls of the clients that messages are about, against a real server."""

import json
from collections.abc import Iterator

import pytest

from rules.mail_secrets import MailSecrets
from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD
from tests.harness.client_drivers import EMAIL, DrivenClient, Driver
from tests.harness.mail import MAIL, last_message, secrets_of
from tests.harness.processes import running_server
from tests.harness.sql import run_sql
from tests.harness.stub_server import http_response, stub_server
from userauth_client import Conflict, InvalidArgumentError, InvalidFields, Unauthorized

NEW_PASSWORD = "another horse battery"
NEW_EMAIL = "susan@example.org"


@pytest.fixture(scope="module")
def running_url(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server that writes messages to a folder; yield its URL."""
    folder = tmp_path_factory.mktemp("mail")
    variables = {
        "DATABASE_URL": postgres,
        "USERAUTH_MAIL__URL": f"folder:{folder / 'messages'}",
        "USERAUTH_MAIL__FROM": MAIL["MAIL__FROM"],
    }
    with running_server(variables, folder / "log") as server:
        yield server.url


def registered(client: DrivenClient) -> DrivenClient:
    """Register and log in; return a client that sends the token."""
    client.register(EMAIL, PASSWORD)
    return client.with_token(client.log_in(EMAIL, PASSWORD))


def newest(dsn: str, kind: MessageKind) -> MailSecrets:
    """Return the secrets of the newest message of a kind."""
    return secrets_of(dsn, last_message(dsn, kind))


def test_an_address_is_verified_by_the_code(
    client: DrivenClient, dsn: str, service: tuple[str, str]
) -> None:
    susan = registered(client)
    token = client.log_in(EMAIL, PASSWORD)
    billing = client.with_service(*service)
    assert not susan.get_user().email_verified
    assert not susan.verify().email_verified
    assert not billing.introspect(token).email_verified
    assert susan.request_verification() is None
    code = newest(dsn, MessageKind.VERIFICATION).code
    assert susan.confirm_verification(code=code).email_verified
    assert susan.get_user().email_verified
    assert susan.verify().email_verified
    assert billing.introspect(token).email_verified


def test_an_address_is_verified_by_the_token_of_the_link(client: DrivenClient, dsn: str) -> None:
    susan = registered(client)
    susan.request_verification()
    token = newest(dsn, MessageKind.VERIFICATION).token
    assert susan.confirm_verification(token=token).email_verified


def test_a_password_is_reset_by_the_token_of_the_link(client: DrivenClient, dsn: str) -> None:
    susan = registered(client)
    request = client.request_password_reset(EMAIL)
    assert request == last_message(dsn, MessageKind.PASSWORD_RESET)
    token = newest(dsn, MessageKind.PASSWORD_RESET).token
    assert client.confirm_password_reset(NEW_PASSWORD, token=token) is None
    with pytest.raises(Unauthorized):
        susan.get_user()
    assert client.log_in(EMAIL, NEW_PASSWORD)
    with pytest.raises(InvalidFields) as raised:
        client.confirm_password_reset(NEW_PASSWORD, token=token)
    assert raised.value.type == "/docs/problems.md#code-invalid"


def test_a_password_is_reset_by_the_code_and_the_request(client: DrivenClient, dsn: str) -> None:
    registered(client)
    request = client.request_password_reset(EMAIL)
    code = newest(dsn, MessageKind.PASSWORD_RESET).code
    with pytest.raises(InvalidFields) as raised:
        client.confirm_password_reset(NEW_PASSWORD, code=code)
    assert raised.value.type == "/docs/problems.md#invalid-fields"
    client.confirm_password_reset(NEW_PASSWORD, code=code, request=request)
    assert client.log_in(EMAIL, NEW_PASSWORD)


def test_a_reset_for_an_unknown_address_returns_a_request_as_well(client: DrivenClient) -> None:
    assert len(client.request_password_reset("unknown@example.com")) == 36


def test_an_address_is_changed_and_the_change_undone(client: DrivenClient, dsn: str) -> None:
    susan = registered(client)
    susan.request_verification()
    susan.confirm_verification(code=newest(dsn, MessageKind.VERIFICATION).code)
    with pytest.raises(InvalidFields, match="current_password"):
        susan.change_email(NEW_EMAIL, "a wrong password")
    assert susan.change_email(NEW_EMAIL, PASSWORD) is None
    assert susan.get_user().email == EMAIL
    change = newest(dsn, MessageKind.EMAIL_CHANGE)
    assert susan.confirm_email(token=change.token).email == NEW_EMAIL
    undo_id = last_message(dsn, MessageKind.EMAIL_UNDO)
    undo = secrets_of(dsn, undo_id)
    assert client.undo_email_change(code=undo.code, request=undo_id) is None
    with pytest.raises(Unauthorized):
        susan.get_user()
    client.confirm_password_reset(NEW_PASSWORD, token=newest(dsn, MessageKind.UNDO_RESET).token)
    assert client.with_password(EMAIL, NEW_PASSWORD).get_user().email == EMAIL


def test_an_address_that_is_taken_meanwhile_is_a_conflict(client: DrivenClient, dsn: str) -> None:
    susan = registered(client)
    susan.change_email(NEW_EMAIL, PASSWORD)
    client.register(NEW_EMAIL, PASSWORD)
    with pytest.raises(Conflict):
        susan.confirm_email(code=newest(dsn, MessageKind.EMAIL_CHANGE).code)


def test_a_registration_stores_the_language(client: DrivenClient, dsn: str) -> None:
    client.register(EMAIL, PASSWORD, language="de-AT, en;q=0.5")
    assert run_sql(dsn, "SELECT language FROM users") == [("de",)]


def test_an_invalid_language_is_rejected(client: DrivenClient) -> None:
    with pytest.raises(InvalidArgumentError):
        client.register(EMAIL, PASSWORD, language="de\r\nX-Forwarded-For: 192.0.2.1")


def test_a_registration_that_has_to_be_verified_returns_no_user(driver: Driver) -> None:
    with stub_server(http_response(202, b"{}")) as stub:
        assert driver.open(stub.url).register(EMAIL, PASSWORD) is None


def test_a_server_of_an_earlier_version_verifies_no_address(driver: Driver) -> None:
    user = {
        "id": "7c9f",
        "email": EMAIL,
        "name": None,
        "created_at": "2026-11-24T11:08:25.123Z",
        "updated_at": "2026-11-24T11:08:25.123Z",
    }
    with stub_server(http_response(200, json.dumps(user).encode())) as stub:
        assert not driver.open(stub.url).get_user().email_verified
    fields = ("X-Auth-User-Id: 7c9f", f"X-Auth-Email: {EMAIL}", "X-Auth-Name: ")
    with stub_server(http_response(200, b"", *fields)) as stub:
        assert not driver.open(stub.url).verify().email_verified
