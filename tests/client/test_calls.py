"""Each call of the clients, as the server answers it."""

import inspect
from datetime import UTC, datetime, timedelta

import pytest

from tests.client.conftest import EMAIL
from tests.harness.api import PASSWORD
from tests.harness.flavours import Driven, Flavour
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


def registered(client: Driven, email: str = EMAIL) -> Driven:
    """Register and log in; return a client with the token."""
    client.register(email, PASSWORD, "Susan")
    return client.with_token(client.log_in(email, PASSWORD))


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    def told(kind: type) -> dict[str, str | None]:
        return {name: getattr(kind, name).__doc__ for name in methods(kind)}

    assert methods(UserAuthClient) == methods(AsyncUserAuthClient)
    assert told(UserAuthClient) == told(AsyncUserAuthClient)
    assert len(methods(UserAuthClient)) == 19


def test_a_registration_returns_the_user_with_times_in_utc(client: Driven) -> None:
    user = client.register("Susan@Example.com", PASSWORD, "Süsan Миллер")
    assert (user.email, user.name) == ("Susan@example.com", "Süsan Миллер")
    assert user.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - user.created_at) < timedelta(minutes=1)
    assert client.with_password(EMAIL, PASSWORD).get_user() == user


def test_a_user_need_not_have_a_name(client: Driven) -> None:
    assert client.register(EMAIL, PASSWORD).name is None


def test_an_address_that_is_taken_is_a_conflict(client: Driven) -> None:
    client.register(EMAIL, PASSWORD)
    with pytest.raises(Conflict):
        client.register(EMAIL.upper(), PASSWORD)


def test_a_log_in_returns_a_token_that_tells_when_it_expires(client: Driven) -> None:
    client.register(EMAIL, PASSWORD)
    token = client.log_in(EMAIL, PASSWORD)
    assert isinstance(token, Token)
    assert token.expires_at is not None
    assert token.expires_at.tzinfo is UTC
    assert token.expires_at > datetime.now(UTC)
    assert client.with_token(token).get_user() == client.with_token(token.value).get_user()


def test_a_log_in_leaves_the_client_as_it_was(client: Driven) -> None:
    client.register(EMAIL, PASSWORD)
    client.log_in(EMAIL, PASSWORD)
    with pytest.raises(Unauthorized) as raised:
        client.get_user()
    assert raised.value.type.endswith("#credentials-missing")


def test_a_password_of_any_script_with_a_colon_logs_in(client: Driven) -> None:
    password = "Пароль: 密码 🐎"
    client.register(EMAIL, password)
    assert client.log_in(EMAIL, password)


def test_a_name_is_changed_and_removed_and_otherwise_left_alone(client: Driven) -> None:
    susan = registered(client)
    assert susan.update_user(name="Susan Miller").name == "Susan Miller"
    assert susan.update_user(password=NEW_PASSWORD).name == "Susan Miller"
    assert susan.update_user(name=None).name is None
    assert susan.get_user().name is None


def test_a_new_password_ends_the_other_tokens(client: Driven) -> None:
    susan, other = registered(client), client.with_token(client.log_in(EMAIL, PASSWORD))
    susan.update_user(password=NEW_PASSWORD, current_password=PASSWORD)
    assert susan.get_user()
    with pytest.raises(Unauthorized):
        other.get_user()
    assert client.log_in(EMAIL, NEW_PASSWORD)


def test_a_wrong_current_password_is_an_invalid_field(client: Driven) -> None:
    with pytest.raises(InvalidFields) as raised:
        registered(client).update_user(password=NEW_PASSWORD, current_password="not this one")
    assert [error.field for error in raised.value.errors] == ["current_password"]


def test_the_current_password_goes_with_what_destroys_and_a_wrong_one_is_an_invalid_field(
    client: Driven,
) -> None:
    susan = registered(client)
    client.log_in(EMAIL, PASSWORD)
    other = susan.list_tokens()[0].id
    with pytest.raises(InvalidFields, match="current_password"):
        susan.delete_user(current_password="not this one")
    with pytest.raises(InvalidFields, match="current_password"):
        susan.end_tokens(current_password="not this one")
    with pytest.raises(InvalidFields, match="current_password"):
        susan.end_token(other, current_password="not this one")
    assert susan.end_token(other, current_password=PASSWORD) is None
    assert susan.end_tokens(keep_current=True, current_password=PASSWORD) == 0
    assert susan.delete_user(current_password=PASSWORD) is None


def test_a_change_of_nothing_is_refused_by_the_server(client: Driven) -> None:
    with pytest.raises(InvalidFields):
        registered(client).update_user()


def test_a_deleted_user_is_gone(client: Driven) -> None:
    susan = registered(client)
    assert susan.delete_user() is None
    with pytest.raises(Unauthorized):
        client.log_in(EMAIL, PASSWORD)


def test_logging_out_ends_the_token_and_no_other(client: Driven) -> None:
    susan, other = registered(client), client.with_token(client.log_in(EMAIL, PASSWORD))
    assert susan.log_out() is None
    with pytest.raises(Unauthorized):
        susan.get_user()
    assert other.get_user()


def test_tokens_are_listed_newest_first_and_ended_one_by_one(url: str, flavour: Flavour) -> None:
    laptop = registered(flavour.open(url, user_agent="My laptop"))
    phone = flavour.open(url, user_agent="My phone")
    phone = phone.with_token(phone.log_in(EMAIL, PASSWORD))
    found = laptop.list_tokens()
    assert [(one.user_agent, one.current) for one in found] == [
        ("My phone", False),
        ("My laptop", True),
    ]
    assert found[0].created_at.tzinfo is found[0].expires_at.tzinfo is UTC
    assert laptop.end_token(found[0].id) is None
    with pytest.raises(NotFound):
        laptop.end_token(found[0].id)
    with pytest.raises(Unauthorized):
        phone.get_user()


def test_all_tokens_are_ended_with_or_without_the_current_one(client: Driven) -> None:
    susan = registered(client)
    for _ in range(3):
        client.log_in(EMAIL, PASSWORD)
    assert susan.end_tokens(keep_current=True) == 3
    assert susan.end_tokens() == 1
    with pytest.raises(Unauthorized):
        susan.list_tokens()


def test_tokens_are_ended_by_password_and_the_password_stays_good(client: Driven) -> None:
    registered(client)
    susan = client.with_password(EMAIL, PASSWORD)
    assert susan.end_tokens() == 1
    assert susan.list_tokens() == ()


def test_events_come_in_pages_newest_first(client: Driven) -> None:
    susan = registered(client)
    # Not a wrong password: of a network, one of a minute is an event at once.
    client.log_in(EMAIL, PASSWORD)
    page, kinds = susan.list_events(limit=2), []
    while True:
        kinds += [(event.kind, event.outcome) for event in page.events]
        if page.before is None:
            break
        page = susan.list_events(limit=2, before=page.before)
    whole = susan.list_events()
    assert kinds == [(event.kind, event.outcome) for event in whole.events]
    assert len(kinds) == 3
    assert kinds[0] == ("logged-in", "success")
    assert whole.events[0].at.tzinfo is UTC
    assert whole.events[0].ip == "127.0.0.1"


def test_who_is_asking_is_told_to_proxies(client: Driven) -> None:
    user = client.register("søren%7@example.com", PASSWORD, "Søren, % and ünïcode")
    told = client.with_password(user.email, PASSWORD).verify()
    assert told == VerifiedUser(user.id, user.email, user.name)


def test_a_user_without_a_name_is_told_without_one(client: Driven) -> None:
    client.register(EMAIL, PASSWORD)
    assert client.with_password(EMAIL, PASSWORD).verify().name is None


def test_a_service_asks_about_a_token_and_revokes_it(
    client: Driven, service: tuple[str, str]
) -> None:
    user = client.register(EMAIL, PASSWORD, "Susan")
    token = client.log_in(EMAIL, PASSWORD)
    billing = client.with_service(*service)
    found = billing.introspect(token)
    assert (found.user_id, found.email, found.name) == (user.id, EMAIL, "Susan")
    assert found.expires_at == token.expires_at
    assert found.issued_at.tzinfo is UTC
    assert [one.id for one in client.with_token(token).list_tokens()] == [found.token_id]
    assert billing.introspect("nonsense & more = less, ünïcode") is None
    assert billing.revoke(token) is None
    assert billing.introspect(token) is None
    with pytest.raises(Unauthorized):
        client.with_token(token).get_user()


def test_a_service_needs_its_secret(client: Driven, service: tuple[str, str]) -> None:
    for refused in (client, client.with_service(service[0], "no secret"), registered(client)):
        with pytest.raises(Unauthorized):
            refused.introspect("nonsense")
        with pytest.raises(Unauthorized):
            refused.revoke("nonsense")


def test_a_server_that_runs_is_live_and_ready(client: Driven) -> None:
    assert client.check_live() is None
    assert client.check_ready() is None


def test_a_client_with_a_token_goes_on_when_another_of_the_same_connections_is_closed(
    client: Driven,
) -> None:
    susan = registered(client)
    client.with_token("another").close()
    assert susan.get_user()


def test_what_asks_for_nobody_and_log_ins_never_present_the_token(client: Driven) -> None:
    client.register(EMAIL, PASSWORD)
    nobody = client.with_token("no.good")
    nobody.check_live()
    nobody.check_ready()
    assert nobody.register("bob@example.com", PASSWORD)
    assert nobody.log_in(EMAIL, PASSWORD)
