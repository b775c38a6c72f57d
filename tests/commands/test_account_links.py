"""``users invite``, ``reset-link``, ``verify`` and ``set-language``."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.harness.accounts import event_kinds_in_order
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.clock import Clock
from tests.harness.command_line import Completed, manage
from tests.harness.configuration import KEY, override_settings
from tests.harness.mail import MAIL
from tests.harness.sql import all_text, run_sql

EMAIL = "susan@example.com"
NEW = "another horse battery"
WITH_MAIL = {f"USERAUTH_{name}": value for name, value in MAIL.items()}
ORIGIN = "https://id.example.com"
AT_ORIGIN = {"USERAUTH_SERVER__PUBLIC_URL": ORIGIN}
LINK = re.compile(
    rf"{ORIGIN}/auth/reset\?request=(?P<request>[0-9a-f-]{{36}})#(?P<token>(?P=request)\.\S{{43}})\n"
)
MESSAGES = "SELECT kind, recipient, due_at IS NULL FROM messages ORDER BY recipient"
CONFIRM = "/api/user/password/reset/confirm"


@pytest.fixture
def clock(dsn: str) -> Clock:
    """Return a clock that begins at the time of Postgres, which commands use."""
    return Clock(float(run_sql(dsn, "SELECT extract(epoch FROM now())")[0][0]))


def users(dsn: str, *arguments: str, **variables: str) -> Completed:
    return manage("users", *arguments, DATABASE_URL=dsn, **{**AT_ORIGIN, **variables})


def shown(dsn: str, *arguments: str, **variables: str) -> Any:
    return json.loads(users(dsn, *arguments, "--json", **variables).stdout)


def token_in(ended: Completed) -> str:
    """Return the token in the link that a command printed."""
    match = LINK.fullmatch(ended.stdout)
    assert match is not None, ended
    return match["token"]


def production(**variables: str) -> dict[str, str]:
    return {
        "APP_SETTINGS": "production",
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1",
        "SECRET_KEYS": "",
        "USERAUTH_SERVER__PUBLIC_URL": "",
        **variables,
    }


@pytest.mark.gen_test
async def test_an_invited_user_sets_a_password_by_the_printed_link_and_keeps_the_name(
    api: Api, dsn: str
) -> None:
    invited = users(dsn, "invite", EMAIL, "--name", "Susan")
    assert invited.returncode == 0, invited
    assert f"It sets the password of {EMAIL}, once, within 7 days." in invited.stderr
    assert run_sql(dsn, MESSAGES) == [("invitation", EMAIL, True)]
    assert event_kinds_in_order(dsn) == ["invited"]
    token = token_in(invited)
    assert token not in all_text(dsn)
    assert (await api.log_in(EMAIL)).status == 401
    body = {"token": token, "password": NEW}
    first = await api.request("POST", CONFIRM, json_body=body)
    assert first.status == 200
    user = await api.request("GET", "/api/user", authorization=basic(EMAIL, NEW))
    assert (user.json["name"], user.json["email_verified"]) == ("Susan", True)
    again = await api.request("POST", CONFIRM, json_body=body)
    assert (again.status, again.problem) == (422, "code-invalid")


def test_an_invitation_is_sent_if_messages_are_and_printed_on_request(dsn: str) -> None:
    sent = users(dsn, "invite", EMAIL, **WITH_MAIL)
    assert (sent.returncode, sent.stdout.strip()) == (0, shown(dsn, "show", EMAIL)["id"])
    assert f"A message with a link goes to {EMAIL}." in sent.stderr
    token_in(users(dsn, "invite", "kim@example.com", "--print-link", **WITH_MAIL))
    assert run_sql(dsn, MESSAGES) == [
        ("invitation", "kim@example.com", True),
        ("invitation", EMAIL, False),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("invite", EMAIL), 4, "already exists"),
        (("invite", "no address"), 2, "email must be"),
        (("invite", "kim@example.com", "--name", "x" * 201), 2, "name must"),
        (("reset-link", "kim@example.com"), 3, "No user has"),
        (("verify", "kim@example.com"), 3, "No user has"),
        (("set-language", "kim@example.com", "de"), 3, "No user has"),
        (("set-language", EMAIL, "fr"), 2, "'fr' is not one of"),
    ],
)
def test_an_error_changes_nothing(
    dsn: str, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    ended = users(dsn, *arguments)
    assert (ended.returncode, message in ended.stderr, ended.stdout) == (code, True, ""), ended
    assert event_kinds_in_order(dsn) == ["added"]
    assert run_sql(dsn, MESSAGES) == []


@pytest.mark.gen_test
async def test_a_reset_link_is_valid_once_for_an_hour_and_nothing_is_sent(
    api: Api, dsn: str, clock: Clock
) -> None:
    assert (await api.register(EMAIL)).status == 201
    made = users(dsn, "reset-link", EMAIL, **WITH_MAIL)
    assert f"It sets the password of {EMAIL}, once, within an hour." in made.stderr
    assert run_sql(dsn, MESSAGES) == [("password-reset", EMAIL, True)]
    assert event_kinds_in_order(dsn)[-1] == "reset-link-made"
    late, token = token_in(users(dsn, "reset-link", EMAIL)), token_in(made)
    answer = await api.request("POST", CONFIRM, json_body={"token": token, "password": NEW})
    assert answer.status == 200
    assert (await api.log_in(EMAIL, NEW)).status == 200
    # The new password voids the other link.
    answer = await api.request("POST", CONFIRM, json_body={"token": late, "password": PASSWORD})
    assert answer.problem == "code-invalid"
    expired = token_in(users(dsn, "reset-link", EMAIL))
    clock.advance(3700)
    answer = await api.request("POST", CONFIRM, json_body={"token": expired, "password": PASSWORD})
    assert answer.problem == "code-invalid"


def test_reset_links_are_not_limited_by_the_messages_to_the_address(dsn: str) -> None:
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    for _ in range(7):
        token_in(users(dsn, "reset-link", EMAIL))
    assert run_sql(dsn, "SELECT count(*) FROM messages WHERE recipient IS NULL") == [(0,)]


@pytest.mark.gen_test
async def test_a_printed_link_is_listed_and_can_be_made_void(api: Api, dsn: str) -> None:
    assert (await api.register(EMAIL)).status == 201
    token = token_in(users(dsn, "reset-link", EMAIL))
    [message] = json.loads(manage("mail", "list", "--json", DATABASE_URL=dsn).stdout)
    assert (message["state"], message["id"]) == ("printed", token.partition(".")[0])
    for command, code in (("retry", 1), ("drop", 0)):
        assert manage("mail", command, message["id"], DATABASE_URL=dsn).returncode == code
    answer = await api.request("POST", CONFIRM, json_body={"token": token, "password": NEW})
    assert answer.problem == "code-invalid"


def test_a_disabled_user_gets_no_reset_link(dsn: str) -> None:
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    assert users(dsn, "disable", EMAIL).returncode == 0
    ended = users(dsn, "reset-link", EMAIL)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{EMAIL} is disabled: run users enable first." in ended.stderr
    assert run_sql(dsn, MESSAGES) == []


def test_a_link_needs_a_key_and_its_origin_and_other_commands_need_neither(
    dsn: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    without_key = production(
        USERAUTH_TOKENS__KEYS_FILE=str(keys), USERAUTH_SERVER__PUBLIC_URL=ORIGIN
    )
    ended = users(dsn, "invite", EMAIL, **without_key)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"tokens.keys_file {keys} cannot be read: set SECRET_KEYS, or repair it." in ended.stderr
    without_origin = production(SECRET_KEYS=KEY)
    ended = users(dsn, "invite", EMAIL, **without_origin)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "links begin with server.public_url: set it, or mail.links_to." in ended.stderr
    # Neither attempt created the user.
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]
    for variables in (without_key, without_origin):
        assert users(dsn, "list", **variables).returncode == 0
    ended = users(dsn, "invite", EMAIL, **without_origin, USERAUTH_MAIL__LINKS_TO=ORIGIN)
    token_in(ended)
    assert not keys.exists()


def test_a_link_of_development_names_the_port_that_it_needs(dsn: str) -> None:
    local = {"USERAUTH_SERVER__PUBLIC_URL": ""}
    invited = users(dsn, "invite", EMAIL, PORT="8019", **local)
    assert invited.stdout.startswith("http://127.0.0.1:8019/auth/reset?")
    advice = "It works if the server uses port"
    assert f"{advice} 8019; otherwise set PORT." in invited.stderr
    assert advice in users(dsn, "reset-link", EMAIL, **local).stderr
    assert advice not in users(dsn, "reset-link", EMAIL).stderr


def test_verify_is_shown_and_confirmed(dsn: str) -> None:
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    required = {**WITH_MAIL, "USERAUTH_REGISTRATION__VERIFICATION": "required"}
    reason = "unverified, and registration.verification is required; to end it: "
    assert shown(dsn, "show", EMAIL)["email_verified_at"] is None
    assert reason in users(dsn, "explain", EMAIL, **required).stdout
    assert reason not in users(dsn, "explain", EMAIL).stdout
    [found] = shown(dsn, "explain", EMAIL, **required)["reasons"]
    assert found["code"] == "unverified"
    done = users(dsn, "verify", EMAIL)
    assert (done.returncode, done.stdout) == (0, f"Verified {EMAIL}.\n")
    assert users(dsn, "verify", EMAIL).stdout == f"{EMAIL} was already verified.\n"
    assert event_kinds_in_order(dsn).count("email-verified") == 1
    assert shown(dsn, "show", EMAIL)["email_verified_at"] is not None
    assert shown(dsn, "list")[0]["email_verified_at"] is not None
    assert reason not in users(dsn, "explain", EMAIL, **required).stdout


def test_the_language_is_set_and_reset(dsn: str) -> None:
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    for language, stored, output in (
        ("de", "de", f"Set the language of {EMAIL} to de."),
        ("de", "de", f"The language of {EMAIL} was already de."),
        ("default", None, f"Set the language of {EMAIL} to default."),
    ):
        done = users(dsn, "set-language", EMAIL, language)
        assert (done.returncode, done.stdout) == (0, f"{output}\n"), done
        assert shown(dsn, "show", EMAIL)["language"] == stored
    assert event_kinds_in_order(dsn).count("language-changed") == 2


@override_settings(**MAIL)
@pytest.mark.parametrize(
    ("change", "left", "notice"),
    [
        (("set-password", EMAIL), ["email-undo"], [("password-changed", EMAIL)]),
        (("disable", EMAIL), [], []),
        (("delete", EMAIL, "--yes"), [], [("user-deleted", EMAIL)]),
        (("revoke-tokens", EMAIL), ["email-undo", "password-reset"], []),
        (("enable", EMAIL), ["email-undo", "password-reset"], []),
    ],
)
@pytest.mark.gen_test
async def test_changes_by_an_administrator_void_messages_and_are_announced(
    api: Api,
    dsn: str,
    *,
    change: tuple[str, ...],
    left: list[str],
    notice: list[tuple[str, str]],
) -> None:
    await api.register(EMAIL)
    await api.request("POST", "/api/user/password/reset", json_body={"email": EMAIL})
    # As a change of address stores it.
    run_sql(dsn, "UPDATE messages SET kind = 'email-undo' WHERE kind = 'verification'")
    assert users(dsn, *change, stdin=f"{NEW}\n", **WITH_MAIL).returncode == 0
    secret = "SELECT kind FROM messages WHERE key_id IS NOT NULL AND voided_at IS NULL ORDER BY 1"
    assert [kind for (kind,) in run_sql(dsn, secret)] == left
    sent = "SELECT kind, recipient FROM messages WHERE key_id IS NULL"
    assert run_sql(dsn, sent) == notice


def test_a_key_that_a_link_needs_is_not_retired(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    in_file = {"SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": str(file)}
    assert manage("keys", "add", DATABASE_URL=dsn, **in_file).returncode == 0
    assert users(dsn, "add", EMAIL, stdin=f"{PASSWORD}\n").returncode == 0
    token_in(users(dsn, "reset-link", EMAIL, **in_file))
    assert manage("keys", "add", DATABASE_URL=dsn, **in_file).returncode == 0
    newest, older = json.loads(manage("keys", "list", "--json", DATABASE_URL=dsn, **in_file).stdout)
    [(until,)] = run_sql(dsn, "SELECT floor(extract(epoch FROM expires_at)) FROM messages")
    assert newest["needed_until"] is None
    assert datetime.fromisoformat(older["needed_until"]).timestamp() == until
    kept = manage("keys", "retire", DATABASE_URL=dsn, **in_file)
    assert (kept.stdout, "No key was removed." in kept.stderr) == ("", True)
    assert users(dsn, "set-password", EMAIL, stdin=f"{NEW}\n").returncode == 0
    assert manage("keys", "retire", DATABASE_URL=dsn, **in_file).stdout == f"{older['id']}\n"
