"""Warnings about settings that are valid."""

from pathlib import Path

import pytest

from settings import load_settings
from settings.cautions import cautions
from tests.harness.command_line import manage
from tests.harness.configuration import KEY, ROOT
from tests.harness.processes import run_to_the_end, running_server

PRODUCTION = {
    "APP_SETTINGS": "production",
    "DATABASE_URL": "embedded",
    "SECRET_KEYS": KEY,
    "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
    "USERAUTH_SERVER__PUBLIC_URL": "https://auth.example.com",
}
OPEN = {"HOST": "0.0.0.0", "USERAUTH_SERVER__REQUIRE_HTTPS": "false"}  # noqa: S104 - it warns
CASES = [
    (
        "database.pooler",
        {
            "DATABASE_URL": "postgresql://db.example/u?sslmode=verify-full",
            "USERAUTH_DATABASE__DIRECT_URL": "postgresql://db.example/u?sslmode=verify-full",
            "USERAUTH_DATABASE__POOLER": "none",
        },
    ),
    ("server.require_https", OPEN),
    ("server.require_https", OPEN | {"HOST": "auth.example.com"}),
    ("metrics.host", {"USERAUTH_METRICS__HOST": "::", "USERAUTH_METRICS__PORT": "9464"}),
    ("database.url", {"DATABASE_URL": "postgresql://u:hidden@db.example/u?sslmode=disable"}),
    ("database.url", {"DATABASE_URL": "postgresql://u:hidden@db.example/u?sslmode=require"}),
    (
        "database.direct_url",
        {
            "DATABASE_URL": "postgresql://db.example/u?sslmode=verify-full",
            "USERAUTH_DATABASE__DIRECT_URL": "postgresql://u:hidden@db.example/u?sslmode=disable",
            "USERAUTH_DATABASE__POOLER": "session",
        },
    ),
    ("throttle.pair_failures", {"USERAUTH_THROTTLE__PAIR_FAILURES": "1000000"}),
    ("throttle.account_failures", {"USERAUTH_THROTTLE__ACCOUNT_FAILURES": "1000000"}),
    ("throttle.address_failures", {"USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000"}),
    ("throttle.registrations", {"USERAUTH_THROTTLE__REGISTRATIONS": "1000000"}),
    ("throttle.longest_delay_seconds", {"USERAUTH_THROTTLE__LONGEST_DELAY_SECONDS": "30"}),
    ("throttle.forget_seconds", {"USERAUTH_THROTTLE__FORGET_SECONDS": "1"}),
    ("passwords.refuse_common", {"USERAUTH_PASSWORDS__REFUSE_COMMON": "false"}),
    ("tokens.lifetime_seconds", {"USERAUTH_TOKENS__LIFETIME_SECONDS": "315360000"}),
    ("cors.origins", {"USERAUTH_CORS__ORIGINS": "*"}),
    ("server.public_url", {"USERAUTH_SERVER__PUBLIC_URL": ""}),
    ("docs.enabled", {"USERAUTH_DOCS__ENABLED": "true"}),
    ("server.instance", {"USERAUTH_SERVER__INSTANCE": "2"}),
]
ALL = {name: value for _, variables in reversed(CASES) for name, value in variables.items()}


def cautions_of(variables: dict[str, str]) -> tuple[str, ...]:
    return cautions(load_settings(PRODUCTION | variables, ROOT / "settings.toml"))


@pytest.mark.parametrize(("path", "variables"), CASES)
def test_each_caution_is_one_line_that_starts_with_the_path_of_the_setting(
    path: str, variables: dict[str, str]
) -> None:
    (caution,) = cautions_of(variables)
    assert caution.startswith(path)
    assert caution.isprintable()
    assert "hidden" not in caution


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"USERAUTH_SERVER__REQUIRE_HTTPS": "false"},
        OPEN | {"HOST": "127.0.0.2"},
        OPEN | {"HOST": "localhost"},
        OPEN | {"USERAUTH_SERVER__CERTIFICATE": "c", "USERAUTH_SERVER__PRIVATE_KEY": "k"},
        {"USERAUTH_METRICS__HOST": "::"},
        {"USERAUTH_METRICS__PORT": "9464"},
        {"DATABASE_URL": "postgresql://db.example/users?sslmode=verify-full"},
        {"DATABASE_URL": "postgresql://localhost/users"},
        {"DATABASE_URL": "postgresql:///users?host=/run/postgresql&sslmode=disable"},
        {"USERAUTH_CORS__ORIGINS": "https://app.example.com"},
        {"USERAUTH_SERVER__PUBLIC_URL": "", "USERAUTH_PAGES__ENABLED": "false"},
    ],
)
def test_usual_production_settings_cause_no_caution(variables: dict[str, str]) -> None:
    assert cautions_of(variables) == ()


PROCESSES = {
    "DATABASE_URL": "postgresql://localhost/users",
    "USERAUTH_SERVER__PROCESSES": "2",
    "USERAUTH_SERVER__INSTANCE": "2",
}


@pytest.mark.parametrize("port", range(7998, 8003))
def test_a_port_of_metrics_that_another_process_may_use_causes_a_caution(port: int) -> None:
    (caution,) = cautions_of(PROCESSES | {"USERAUTH_METRICS__PORT": str(port)})
    assert caution == (
        f"metrics.port = {port}: with the number of a process added, it can be the port of another"
        " one: choose one that is more than 2 away from server.port = 8000"
    )


@pytest.mark.parametrize("port", ["0", "7997", "8003"])
def test_processes_with_ports_of_their_own_cause_no_caution(port: str) -> None:
    assert cautions_of(PROCESSES | {"USERAUTH_METRICS__PORT": port}) == ()


def test_outside_production_there_are_no_cautions() -> None:
    assert cautions_of(ALL | {"APP_SETTINGS": "development"}) == ()


def test_check_prints_each_caution_and_exits_with_0(dsn: str) -> None:
    variables = ALL | {"DATABASE_URL": dsn, "USERAUTH_DATABASE__DIRECT_URL": ""}
    ended = run_to_the_end("--check", **PRODUCTION | variables)
    assert (ended.returncode, ended.stdout) == (0, "The settings are valid (production).\n")
    assert ended.stderr.splitlines() == [f"warning: {each}" for each in cautions_of(variables)]
    by_command = manage("check", **PRODUCTION | variables)
    assert (by_command.returncode, by_command.stdout, by_command.stderr) == (
        ended.returncode,
        ended.stdout,
        ended.stderr,
    )


def test_check_prints_each_caution_before_the_error_of_the_database() -> None:
    names = ("DATABASE_URL", "USERAUTH_DATABASE__DIRECT_URL")
    variables = ALL | dict.fromkeys(names, "postgresql://db..example/u?sslmode=disable")
    expected = [f"warning: {each}" for each in cautions_of(variables)]
    assert len(expected) == len({path for path, _ in CASES})
    ended = run_to_the_end("--check", **PRODUCTION | variables)
    by_command = manage("check", **PRODUCTION | variables)
    for returncode, stdout, stderr in (
        (ended.returncode, ended.stdout, ended.stderr),
        (by_command.returncode, by_command.stdout, by_command.stderr),
    ):
        *warnings, error = stderr.splitlines()
        assert (returncode, stdout, warnings) == (2, "", expected)
        assert "database.direct_url has an invalid host name" in error


def test_the_server_logs_each_caution_when_it_starts(dsn: str, tmp_path: Path) -> None:
    variables = PRODUCTION | {
        "DATABASE_URL": dsn,
        "USERAUTH_CORS__ORIGINS": "*",
        "USERAUTH_THROTTLE__PAIR_FAILURES": "1000",
    }
    with running_server(variables, tmp_path / "log") as server:
        assert server.stop() == 0
        written = server.written()
    assert "settings: cors.origins = " in written
    assert "settings: throttle.pair_failures = 1000" in written


def test_in_production_the_server_does_not_start_with_a_guessable_key_in_the_keys_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys"
    variables = PRODUCTION | {"SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": str(file)}
    for content, message in (
        (f"{KEY}\nchange-me-change-me-change-me-change-me\n", "contains a key that can be guessed"),
        (f"{KEY}\n", "contains a key that passwords.pepper contains too"),
    ):
        file.write_text(content, encoding="ascii")
        file.chmod(0o600)
        ended = manage("check", **variables, PASSWORD_PEPPER=KEY)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert f"tokens.keys_file {file} {message}" in ended.stderr
        assert not any(line in ended.stderr for line in content.splitlines())
    assert manage("check", **variables).returncode == 0
