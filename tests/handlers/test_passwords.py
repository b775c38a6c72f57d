"""The rules of passwords, at registration, login and change."""

import unicodedata

import pytest

from rules.password_scheme import SCHEME, PasswordScheme, pepper_id
from settings import load_settings
from tests.harness.api import PASSWORD, Api, basic, bearer, rejected_fields
from tests.harness.configuration import KEY, ROOT, override_settings
from tests.harness.sql import run_sql

EMAIL = "susan.miller@example.com"
PEPPER = "a-pepper-for-the-tests-000000000"

strict = override_settings(PASSWORDS__REFUSE_COMMON="true")


@pytest.mark.parametrize(
    "password",
    [
        "12345678",
        "password",
        "a:b:c:d:",
        ":" * 8,
        "😀" * 8,
        "😀" * 1024,
        "x" * 1024,
        " spaces at both ends ",
        "quotes \" and \\ and ' and %s",
        unicodedata.normalize("NFD", "ä" * 1024),
        "密码是一个秘密的",
    ],
)
@pytest.mark.gen_test
async def test_an_accepted_password_logs_in(api: Api, password: str) -> None:
    assert (await api.register(EMAIL, password)).status == 201
    assert (await api.log_in(EMAIL, password)).status == 200


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "😀" * 7,
        unicodedata.normalize("NFD", "ä" * 7),
        "x" * 1025,
        "\u0958" * 600,  # NFC makes two of each
        "with\x00null",
        "with\nline",
        "with\x7fdelete",
        "with\x9fcontrol",
    ],
)
@pytest.mark.gen_test
async def test_a_password_that_the_rules_reject_is_422_on_both_calls(
    api: Api, password: str
) -> None:
    assert rejected_fields(await api.register(EMAIL, password)) == ["password"]
    token = await api.registered_token(EMAIL)
    answer = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": password}
    )
    assert rejected_fields(answer) == ["password"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.gen_test
async def test_a_password_is_the_same_in_both_forms_of_unicode(
    api: Api, forms: tuple[str, str]
) -> None:
    registered, presented = (unicodedata.normalize(form, "pässwörd") for form in forms)  # type: ignore[arg-type]
    assert registered != presented
    await api.register(EMAIL, registered)
    assert (await api.log_in(EMAIL, presented)).status == 200


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        ("a" * 100, "a" * 72),
        ("a" * 100, "a" * 99),
        ("a" * 100, "a" * 99 + "b"),
        ("ä" * 50, "ä" * 36),
        ("password ", "password"),
        ("password", "Password"),
        ("a:b:c:d:e", "a:b:c:d"),
        ("ﬁsh and chips", "fish and chips"),
    ],
)
@pytest.mark.gen_test
async def test_no_character_of_a_password_is_dropped_or_replaced(
    api: Api, registered: str, presented: str
) -> None:
    await api.register(EMAIL, registered)
    assert (await api.log_in(EMAIL, presented)).status == 401


@override_settings(PASSWORDS__MIN_LENGTH=12)
@pytest.mark.gen_test
async def test_the_minimum_length_is_a_setting(api: Api) -> None:
    assert rejected_fields(await api.register(EMAIL, "x" * 11)) == ["password"]
    assert (await api.register(EMAIL, "x" * 12)).status == 201


@pytest.mark.parametrize(
    "password",
    ["password", "PassWord", "12345678", EMAIL, "SusanMiller1", "miller-susan", "Suzy Q 1234"],
)
@strict
@pytest.mark.gen_test
async def test_in_production_a_common_password_or_ones_own_words_are_422_at_registration(
    api: Api, password: str
) -> None:
    answer = await api.register(EMAIL, password, name="Suzy Q")
    assert rejected_fields(answer) == ["password"]


@pytest.mark.parametrize("password", ["password", EMAIL, "Susanne-1234"])
@strict
@pytest.mark.gen_test
async def test_in_production_a_common_password_or_ones_own_words_are_422_at_a_change(
    api: Api, password: str
) -> None:
    await api.register(EMAIL, name="Susanne")
    token = await api.token(EMAIL)
    answer = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": password}
    )
    assert rejected_fields(answer) == ["password"]
    assert (await api.log_in(EMAIL)).status == 200


@strict
@pytest.mark.gen_test
async def test_in_production_a_password_made_of_the_new_name_is_422(api: Api) -> None:
    token = await api.registered_token(EMAIL)
    answer = await api.request(
        "PATCH",
        "/api/user",
        authorization=bearer(token),
        json_body={"name": "Ophelia", "password": "ophelia-1234"},
    )
    assert rejected_fields(answer) == ["password"]
    user = await api.request("GET", "/api/user", authorization=basic(f"{token}:"))
    assert user.json["name"] is None


@strict
@pytest.mark.gen_test
async def test_in_production_a_strong_password_is_accepted(api: Api) -> None:
    assert (await api.register(EMAIL, "correct horse battery", name="Susan")).status == 201


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("1234567", "password-too-short"),
        ("x" * 1025, "password-too-long"),
        ("with\x00null", "password-control-characters"),
        ("password", "password-common"),
        (EMAIL, "password-own-words"),
        ("UserAuth-2024", "password-service-words"),
    ],
)
@strict
@pytest.mark.gen_test
async def test_a_rejected_password_has_a_code_on_both_calls(
    api: Api, password: str, code: str
) -> None:
    rejected = await api.register(EMAIL, password)
    assert [error["code"] for error in rejected.json["errors"]] == [code]
    token = await api.registered_token(EMAIL)
    rejected = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": password}
    )
    assert [error["code"] for error in rejected.json["errors"]] == [code]


@pytest.mark.gen_test
async def test_other_rejected_fields_have_no_code(api: Api) -> None:
    rejected = await api.register("no address", "1234567", name="")
    coded = [error["field"] for error in rejected.json["errors"] if "code" in error]
    assert rejected_fields(rejected) == ["email", "name", "password"]
    assert coded == ["password"]


@override_settings(PASSWORDS__PEPPER=PEPPER)
@pytest.mark.gen_test
async def test_with_a_pepper_in_the_settings_hashes_name_it_and_log_in(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users")
    assert stored.startswith(f"{SCHEME}+{pepper_id(PEPPER)}$2b$04$")
    assert (await api.log_in(EMAIL)).status == 200
    assert (await api.log_in(EMAIL, "wrong password")).status == 401


@override_settings(PASSWORDS__PEPPER=PEPPER)
@pytest.mark.gen_test
async def test_a_hash_is_renewed_with_a_new_pepper_at_the_next_login(api: Api, dsn: str) -> None:
    await api.register(EMAIL, PASSWORD)
    run_sql(dsn, "UPDATE users SET password_hash = %s", (PasswordScheme(cost=4).hash(PASSWORD),))
    assert (await api.log_in(EMAIL, PASSWORD)).status == 200
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users")
    assert stored.startswith(f"{SCHEME}+{pepper_id(PEPPER)}$")
    assert (await api.log_in(EMAIL, PASSWORD)).status == 200


def test_the_production_profile_rejects_common_passwords() -> None:
    variables = {
        "APP_SETTINGS": "production",
        "SECRET_KEYS": KEY,
        "DATABASE_URL": "embedded",
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
    }
    assert load_settings(variables, ROOT / "settings.toml").passwords.refuse_common
