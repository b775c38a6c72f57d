"""POST /api/user/register."""

import re
import unicodedata
import uuid

import pytest

from tests.harness.api import PASSWORD, Api, basic, rejected_fields
from tests.harness.sql import run_sql

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
MAX_EMAIL = "a" * 64 + "@" + ".".join(["b" * 62, "c" * 62, "d" * 59, "com"])


@pytest.mark.gen_test
async def test_a_registration_returns_201_with_the_user_and_location(api: Api) -> None:
    answer = await api.register(name="Susan")
    assert answer.status == 201
    assert answer.headers["Location"] == "/api/user"
    user = answer.json
    assert list(user) == ["id", "email", "email_verified", "name", "created_at", "updated_at"]
    assert str(uuid.UUID(user["id"])) == user["id"]
    assert (user["email"], user["name"]) == ("susan@example.com", "Susan")
    assert TIME.fullmatch(user["created_at"])
    assert user["updated_at"] == user["created_at"]


@pytest.mark.gen_test
async def test_a_registered_user_can_log_in_and_read_the_same_document(api: Api) -> None:
    registered = await api.register(name="Susan")
    user = await api.request("GET", "/api/user", authorization=basic("susan@example.com", PASSWORD))
    assert user.json == registered.json


@pytest.mark.parametrize("named", [{}, {"name": None}])
@pytest.mark.gen_test
async def test_without_a_name_or_with_null_the_name_is_null(
    api: Api, named: dict[str, object]
) -> None:
    body = {"email": "susan@example.com", "password": PASSWORD, **named}
    answer = await api.request("POST", "/api/user/register", json_body=body)
    assert answer.status == 201
    assert answer.json["name"] is None


@pytest.mark.gen_test
async def test_the_password_is_not_in_the_response_or_the_database(api: Api, dsn: str) -> None:
    answer = await api.register()
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users")
    assert stored.startswith("$userauth-bcrypt-sha384$2b$04$")
    assert PASSWORD not in stored
    assert PASSWORD.encode() not in answer.content
    assert stored.encode() not in answer.content


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("susan@example.com", "susan@example.com"),
        ("susan@example.com", "SUSAN@Example.COM"),
        ("Susan@Example.com", "susan@example.com"),
        ("sörén@example.com", "SÖRÉN@EXAMPLE.COM"),
        ("zo\u00eb@example.com", "zoe\u0308@example.com"),
        ("susan@exämple.com", "susan@xn--exmple-cua.com"),
        ("susan@exämple.com", "susan@EXÄMPLE.com"),
    ],
)
@pytest.mark.gen_test
async def test_a_taken_address_is_409_in_any_spelling(
    api: Api, dsn: str, first: str, second: str
) -> None:
    assert (await api.register(first)).status == 201
    answer = await api.register(second, "another password", name="Other")
    assert answer.status == 409
    assert answer.problem == "email-taken"
    assert run_sql(dsn, "SELECT count(*), max(name) FROM users") == [(1, None)]


@pytest.mark.gen_test
async def test_two_addresses_are_two_users(api: Api) -> None:
    ids = [(await api.register(f"{name}@example.com")).json["id"] for name in ("susan", "sue")]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Susan.Miller@EXAMPLE.Com", "Susan.Miller@example.com"),
        ("susan+tag@example.co.uk", "susan+tag@example.co.uk"),
        ("susan@xn--exmple-cua.com", "susan@exämple.com"),
        ("zoe\u0308@example.com", "zo\u00eb@example.com"),
        ("用户@例え.jp", "用户@例え.jp"),
        (MAX_EMAIL, MAX_EMAIL),
        (" sp@example.com ", "sp@example.com"),
        ("susan@corp.local", "susan@corp.local"),
    ],
)
@pytest.mark.gen_test
async def test_an_address_is_stored_as_the_library_normalizes_it(
    api: Api, typed: str, kept: str
) -> None:
    answer = await api.register(typed)
    assert answer.status == 201
    assert answer.json["email"] == kept
    assert (await api.log_in(typed)).status == 200
    assert (await api.log_in(kept)).status == 200


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "susan",
        "susan@",
        "@example.com",
        "susan@example",
        "susan @example.com",
        "a" * 65 + "@example.com",
        "susan@exa mple.com",
        "a@b@example.com",
        "susan\x00@example.com",
        "susan:x@example.com",
        "susan@-example.com",
        "susan@example..com",
        MAX_EMAIL + "m",
        "a" * 60_000 + "@example.com",
    ],
)
@pytest.mark.gen_test
async def test_an_invalid_or_too_long_address_is_422_and_registers_no_user(
    api: Api, dsn: str, typed: str
) -> None:
    assert rejected_fields(await api.register(typed)) == ["email"]
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" \t\u3000Susan Miller\u2003\n", "Susan Miller"),
        (unicodedata.normalize("NFD", "Zoë"), unicodedata.normalize("NFC", "Zoë")),
        ("S", "S"),
        ("😀" * 200, "😀" * 200),
        (unicodedata.normalize("NFD", "ë") * 200, unicodedata.normalize("NFC", "ë") * 200),
        (" " * 500 + "Susan", "Susan"),
        ("O'Brien; DROP TABLE users; -- %s \\", "O'Brien; DROP TABLE users; -- %s \\"),
        ('<b>"Susan"</b>', '<b>"Susan"</b>'),
        ("علي", "علي"),
    ],
)
@pytest.mark.gen_test
async def test_a_name_is_stored_trimmed_and_composed(api: Api, typed: str, kept: str) -> None:
    answer = await api.register(name=typed)
    assert answer.status == 201
    assert answer.json["name"] == kept


@pytest.mark.parametrize(
    "name", ["", " ", "\u2003\n", "x" * 201, "😀" * 201, "a\x00b", "a\nb", "a\x7fb", "a\x85b"]
)
@pytest.mark.gen_test
async def test_a_name_that_is_empty_too_long_or_has_control_characters_is_422(
    api: Api, name: str
) -> None:
    assert rejected_fields(await api.register(name=name)) == ["name"]


@pytest.mark.gen_test
async def test_all_rejected_fields_are_reported_together(api: Api) -> None:
    answer = await api.register("no address", "short", name="")
    assert sorted(rejected_fields(answer)) == ["email", "name", "password"]
    assert answer.problem == "invalid-fields"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"email": "nowhere"}, ["email", "password"]),
        ({"email": "nowhere", "password": "short", "name": 5}, ["email", "name", "password"]),
        ({"password": "short", "role": "x"}, ["email", "password", "role"]),
        ({"email": 5, "password": "long enough", "name": ""}, ["email", "name"]),
    ],
)
@pytest.mark.gen_test
async def test_fields_of_the_wrong_type_and_those_that_a_rule_rejects_are_reported_together(
    api: Api, body: object, fields: list[str]
) -> None:
    answer = await api.request("POST", "/api/user/register", json_body=body)
    assert sorted(rejected_fields(answer)) == fields


@pytest.mark.parametrize(
    "body",
    [
        {"email": "hunter2@", "password": "hunter2", "name": "hunter2\n"},
        {"email": ["hunter2"], "password": {"hunter2": "hunter2"}, "name": True},
        {"email": "susan@example.com", "password": "hunter2hunter2", "other": "hunter2"},
    ],
)
@pytest.mark.gen_test
async def test_an_error_repeats_no_value_of_the_request(api: Api, body: object) -> None:
    answer = await api.request("POST", "/api/user/register", json_body=body)
    assert answer.status == 422
    assert b"hunter2" not in answer.content
