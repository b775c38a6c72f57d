"""Every call of the clients against a real server."""

import inspect
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.api import PASSWORD
from tests.harness.client_drivers import EMAIL, DrivenClient, Driver
from userauth_client import (
    AsyncUserAuthClient,
    Conflict,
    InvalidFields,
    NotFound,
    Token,
    Unauthorized,
    UserAuthClient,
    VerifiedUser,
)

NEW_PASSWORD = "another horse battery"


def registered(client: DrivenClient, email: str = EMAIL) -> DrivenClient:
    """Register and log in; return a client that sends the token."""
    client.register(email, PASSWORD, "Susan")
    return client.with_token(client.log_in(email, PASSWORD))


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    def docstrings(kind: type) -> dict[str, str | None]:
        return {name: getattr(kind, name).__doc__ for name in methods(kind)}

    assert methods(UserAuthClient) == methods(AsyncUserAuthClient)
    assert docstrings(UserAuthClient) == docstrings(AsyncUserAuthClient)
    assert methods(UserAuthClient)


def test_a_registration_returns_the_user_with_times_in_utc(client: DrivenClient) -> None:
    user = client.register("Susan@Example.com", PASSWORD, "Süsan Миллер")
    assert (user.email, user.name) == ("Susan@example.com", "Süsan Миллер")
    assert user.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - user.created_at) < timedelta(minutes=1)
    assert client.with_password(EMAIL, PASSWORD).get_user() == user


def test_a_user_need_not_have_a_name(client: DrivenClient) -> None:
    assert client.register(EMAIL, PASSWORD).name is None


def test_a_taken_email_address_is_a_conflict(client: DrivenClient) -> None:
    client.register(EMAIL, PASSWORD)
    with pytest.raises(Conflict):
        client.register(EMAIL.upper(), PASSWORD)


def test_a_login_returns_a_token_with_its_expiry_time(client: DrivenClient) -> None:
    client.register(EMAIL, PASSWORD)
    token = client.log_in(EMAIL, PASSWORD)
    assert isinstance(token, Token)
    assert token.expires_at is not None
    assert token.expires_at.tzinfo is UTC
    assert token.expires_at > datetime.now(UTC)
    assert client.with_token(token).get_user() == client.with_token(token.value).get_user()


def test_a_login_does_not_change_the_client(client: DrivenClient) -> None:
    client.register(EMAIL, PASSWORD)
    client.log_in(EMAIL, PASSWORD)
    with pytest.raises(Unauthorized) as raised:
        client.get_user()
    assert raised.value.type.endswith("#credentials-missing")


def test_a_password_with_a_colon_in_any_script_logs_in(client: DrivenClient) -> None:
    password = "Пароль: 密码 🐎"
    client.register(EMAIL, password)
    assert client.log_in(EMAIL, password)


def test_an_update_changes_or_removes_the_name_and_otherwise_keeps_it(client: DrivenClient) -> None:
    susan = registered(client)
    assert susan.update_user(name="Susan Miller").name == "Susan Miller"
    assert susan.update_user(password=NEW_PASSWORD).name == "Susan Miller"
    assert susan.update_user(name=None).name is None
    assert susan.get_user().name is None


def test_a_new_password_revokes_the_other_tokens(client: DrivenClient) -> None:
    susan, other = registered(client), client.with_token(client.log_in(EMAIL, PASSWORD))
    susan.update_user(password=NEW_PASSWORD, current_password=PASSWORD)
    assert susan.get_user()
    with pytest.raises(Unauthorized):
        other.get_user()
    assert client.log_in(EMAIL, NEW_PASSWORD)


def test_a_wrong_current_password_is_an_invalid_field(client: DrivenClient) -> None:
    with pytest.raises(InvalidFields) as raised:
        registered(client).update_user(password=NEW_PASSWORD, current_password="a wrong password")
    assert [error.field for error in raised.value.errors] == ["current_password"]


def test_destructive_calls_send_the_current_password(
    client: DrivenClient,
) -> None:
    susan = registered(client)
    client.log_in(EMAIL, PASSWORD)
    other = susan.list_tokens()[0].id
    with pytest.raises(InvalidFields, match="current_password"):
        susan.delete_user(current_password="a wrong password")
    with pytest.raises(InvalidFields, match="current_password"):
        susan.revoke_tokens(current_password="a wrong password")
    with pytest.raises(InvalidFields, match="current_password"):
        susan.revoke_token(other, current_password="a wrong password")
    assert susan.revoke_token(other, current_password=PASSWORD) is None
    assert susan.revoke_tokens(keep_current=True, current_password=PASSWORD) == 0
    assert susan.delete_user(current_password=PASSWORD) is None


def test_the_server_rejects_an_empty_update(client: DrivenClient) -> None:
    with pytest.raises(InvalidFields):
        registered(client).update_user()


def test_a_deleted_user_cannot_log_in(client: DrivenClient) -> None:
    susan = registered(client)
    assert susan.delete_user() is None
    with pytest.raises(Unauthorized):
        client.log_in(EMAIL, PASSWORD)


def test_a_logout_revokes_only_its_own_token(client: DrivenClient) -> None:
    susan, other = registered(client), client.with_token(client.log_in(EMAIL, PASSWORD))
    assert susan.log_out() is None
    with pytest.raises(Unauthorized):
        susan.get_user()
    assert other.get_user()


def test_tokens_are_listed_newest_first_and_revoked_one_by_one(url: str, driver: Driver) -> None:
    laptop = registered(driver.open(url, user_agent="My laptop"))
    phone = driver.open(url, user_agent="My phone")
    phone = phone.with_token(phone.log_in(EMAIL, PASSWORD))
    records = laptop.list_tokens()
    assert [(record.user_agent, record.current) for record in records] == [
        ("My phone", False),
        ("My laptop", True),
    ]
    assert [record.kind for record in records] == ["token", "token"]
    assert records[0].created_at.tzinfo is records[0].expires_at.tzinfo is UTC
    assert laptop.revoke_token(records[0].id) is None
    with pytest.raises(NotFound):
        laptop.revoke_token(records[0].id)
    with pytest.raises(Unauthorized):
        phone.get_user()


def test_all_tokens_are_revoked_with_or_without_the_current_one(client: DrivenClient) -> None:
    susan = registered(client)
    for _ in range(3):
        client.log_in(EMAIL, PASSWORD)
    assert susan.revoke_tokens(keep_current=True) == 3
    assert susan.revoke_tokens() == 1
    with pytest.raises(Unauthorized):
        susan.list_tokens()


def test_a_client_with_a_password_still_works_after_it_revokes_all_tokens(
    client: DrivenClient,
) -> None:
    registered(client)
    susan = client.with_password(EMAIL, PASSWORD)
    assert susan.revoke_tokens() == 1
    assert susan.list_tokens() == ()


def test_events_are_paged_newest_first(client: DrivenClient) -> None:
    susan = registered(client)
    # Not a wrong password: only the first failure of a network in a minute is an event at once.
    client.log_in(EMAIL, PASSWORD)
    page, paged = susan.list_events(limit=2), []
    while True:
        paged += [(event.kind, event.outcome) for event in page.events]
        if page.before is None:
            break
        page = susan.list_events(limit=2, before=page.before)
    all_events = susan.list_events().events
    assert paged == [(event.kind, event.outcome) for event in all_events]
    assert len(paged) == 3
    assert paged[0] == ("logged-in", "success")
    assert all_events[0].at.tzinfo is UTC
    assert all_events[0].ip == "127.0.0.1"


def test_verify_returns_the_owner_of_the_credentials(client: DrivenClient) -> None:
    user = client.register("søren%7@example.com", PASSWORD, "Søren, % and ünïcode")
    verified = client.with_password(user.email, PASSWORD).verify()
    assert verified == VerifiedUser(user.id, user.email, user.name, email_verified=False)


def test_verify_returns_no_name_for_a_user_without_one(client: DrivenClient) -> None:
    client.register(EMAIL, PASSWORD)
    assert client.with_password(EMAIL, PASSWORD).verify().name is None


def test_a_service_introspects_a_token_and_revokes_it(
    client: DrivenClient, service: tuple[str, str]
) -> None:
    user = client.register(EMAIL, PASSWORD, "Susan")
    token = client.log_in(EMAIL, PASSWORD)
    billing = client.with_service(*service)
    active = billing.introspect(token)
    assert (active.user_id, active.email, active.name) == (user.id, EMAIL, "Susan")
    assert active.expires_at == token.expires_at
    assert active.issued_at.tzinfo is UTC
    assert [record.id for record in client.with_token(token).list_tokens()] == [active.token_id]
    assert billing.introspect("nonsense & more = less, ünïcode") is None
    assert billing.introspect("") is None
    assert billing.revoke(token) is None
    assert billing.introspect(token) is None
    with pytest.raises(Unauthorized):
        client.with_token(token).get_user()


def test_a_service_needs_its_secret(client: DrivenClient, service: tuple[str, str]) -> None:
    wrong_secret = client.with_service(service[0], "a wrong secret")
    for rejected in (client, wrong_secret, registered(client)):
        with pytest.raises(Unauthorized):
            rejected.introspect("nonsense")
        with pytest.raises(Unauthorized):
            rejected.revoke("nonsense")


def test_a_running_server_is_live_and_ready(client: DrivenClient) -> None:
    assert client.check_live() is None
    assert client.check_ready() is None


def test_closing_a_derived_client_leaves_the_shared_connections_open(
    client: DrivenClient,
) -> None:
    susan = registered(client)
    client.with_token("another.token").close()
    assert susan.get_user()


def test_anonymous_calls_and_logins_never_send_the_token(client: DrivenClient) -> None:
    client.register(EMAIL, PASSWORD)
    invalid = client.with_token("not.valid")
    invalid.check_live()
    invalid.check_ready()
    assert invalid.register("bob@example.com", PASSWORD)
    assert invalid.log_in(EMAIL, PASSWORD)
