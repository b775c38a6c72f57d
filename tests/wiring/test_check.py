"""``--check`` finds what would prevent the start."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from db.errors import TooManyWaiting
from postgres.embedded import EmbeddedPostgres
from settings import Settings, load_settings
from tests.harness.command_line import manage
from tests.harness.configuration import KEY, ROOT, TEST_VARIABLES, settings_with
from tests.harness.replication import STANDBY, Node, replicated
from tests.harness.sql import run_sql
from wiring.check import check
from wiring.database import open_database
from wiring.documents import static_documents
from wiring.errors import START_ERRORS, StartError, WrongSettings, exit_code_of
from wiring.pages import page_routes
from wiring.secrets import signing_keys


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logo.svg", ""),
        ("fr.toml", '[language]\nname = "Français"\n'),
        ("sign-in.html", "{% if %}"),
    ],
)
def test_a_check_reports_a_file_of_the_pages_as_the_start_does(
    tmp_path: Path, name: str, content: str
) -> None:
    if content:
        (tmp_path / name).write_text(content, "utf-8")
        variables = {"PAGES__TEMPLATES": str(tmp_path)}
    else:
        variables = {"PAGES__LOGO": str(tmp_path / name)}
    settings = settings_with(**variables)
    with pytest.raises(WrongSettings) as at_start:
        (static_documents(settings), page_routes(settings))
    with pytest.raises(WrongSettings) as at_check:
        check(settings)
    assert str(at_check.value) == str(at_start.value)
    setting = next(iter(variables)).lower().replace("__", ".")
    assert str(at_start.value).startswith(setting)
    ended = manage("check", **{f"USERAUTH_{key}": value for key, value in variables.items()})
    assert ended.returncode == 2
    assert ended.stderr == f"Error: {str(at_start.value).removesuffix('.')}.\n"


def _error_of(work: Callable[[], object]) -> tuple[int, str] | None:
    """Return the exit code and the message of an error, or None if there is none."""
    try:
        work()
    except START_ERRORS as error:
        return exit_code_of(error), str(error)
    return None


def _with_keys_file(file: Path) -> Settings:
    variables = TEST_VARIABLES | {"SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": str(file)}
    return load_settings(variables, ROOT / "settings.toml")


def _place(folder: Path, fault: str) -> Path:
    """Return the path of a keys file with a fault, if any."""
    file = folder / "keys"
    if fault in {"readable by others", "valid", "too short"}:
        file.write_text(f"{KEY if fault != 'too short' else 'short'}\n", "ascii")
        file.chmod(0o600 if fault == "valid" else 0o644)
    elif fault == "a directory":
        file.mkdir()
    elif fault == "below a file":
        file.touch()
        return file / "folder" / "keys"
    elif fault == "a dangling link":
        file.symlink_to("absent")
    elif fault == "absent, in a missing directory":
        return folder / "absent" / "keys"
    return file


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("valid", 0),
        ("absent", 0),
        ("absent, in a missing directory", 0),
        ("readable by others", 2),
        ("too short", 2),
        ("a directory", 2),
        ("a dangling link", 2),
        ("below a file", 1),
    ],
)
def test_a_check_reports_the_keys_file_as_the_start_does_and_creates_none(
    tmp_path: Path, fault: str, code: int
) -> None:
    file = _place(tmp_path, fault)
    settings = _with_keys_file(file)
    before = sorted(tmp_path.rglob("*"))
    at_check = _error_of(partial(check, settings))
    assert sorted(tmp_path.rglob("*")) == before
    assert at_check == _error_of(partial(signing_keys, settings))
    assert (at_check[0] if at_check else 0) == code
    if at_check:
        assert at_check[1].startswith(f"tokens.keys_file {file} ")
        assert ("chmod" in at_check[1]) == (fault == "readable by others")


def test_a_check_reports_a_directory_in_which_the_keys_file_cannot_be_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere.
    monkeypatch.setattr("rules.keys.os.access", lambda *_: False)
    at_check = _error_of(partial(check, _with_keys_file(tmp_path / "keys")))
    assert at_check is not None
    assert at_check[0] == 1
    assert "keys cannot be written (Permission denied)" in at_check[1]


def test_a_check_without_a_key_fails_as_the_start_does() -> None:
    settings = _with_keys_file(ROOT / "var/keys")
    settings = settings.model_copy(
        update={"tokens": settings.tokens.model_copy(update={"keys_file": None})}
    )
    at_check = _error_of(partial(check, settings))
    assert at_check == _error_of(partial(signing_keys, settings))
    assert at_check == (2, "there is no signing key: set SECRET_KEYS or tokens.keys_file.")


def test_a_check_reports_a_file_in_place_of_the_directory_of_the_embedded_postgres(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "postgres"):
        settings = settings_with(DATABASE__EMBEDDED_DIR=path, DATABASE__URL="embedded")
        at_check = _error_of(partial(check, settings))
        assert at_check == _error_of(partial(EmbeddedPostgres.start, path))
        assert at_check is not None


@pytest.mark.parametrize(
    ("port", "metrics", "host", "is_reported"),
    [
        (8000, 8000, "127.0.0.1", True),
        (8000, 8000, "127.0.0.2", False),
        (8000, 8001, "127.0.0.1", False),
        (0, 0, "127.0.0.1", False),
    ],
)
def test_a_check_warns_of_a_port_that_the_server_would_use_twice(
    port: int, metrics: int, host: str, *, is_reported: bool
) -> None:
    settings = settings_with(SERVER__PORT=port, METRICS__PORT=metrics, METRICS__HOST=host)
    assert ("metrics.port is the port of the server" in check(settings)) == is_reported


def test_without_pages_a_check_reads_no_file_of_theirs(tmp_path: Path) -> None:
    settings = settings_with(PAGES__ENABLED=False, PAGES__LOGO=tmp_path / "logo.svg")
    assert check(settings).startswith("The settings are valid")


def test_sessions_that_wait_for_a_standby_fail_a_check_only_as_they_fail_a_start(
    stopped_cluster: Path, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reason = (
        "sessions wait for a synchronous standby: 1; none acknowledges (synchronous_standby_names ="
        f" '{STANDBY}')"
    )
    with replicated(stopped_cluster, open_folder) as nodes:
        url = nodes.primary.url
        # A pooler, with a direct way past it, is checked by a pool of its own.
        variables = {"DATABASE__URL": url, "DATABASE__DIRECT_URL": url}
        settings = settings_with(**variables, DATABASE__POOLER="session")
        bounded = settings_with(**variables, DATABASE__POOL_MIN=1, DATABASE__POOL_MAX=1)
        nodes.standby.freeze()
        with ThreadPoolExecutor() as executor:
            executor.submit(run_sql, url, "SELECT pg_logical_emit_message(true, '', '')")
            _wait_for_a_late_session(nodes.primary, settings.database.query_timeout_seconds)
            try:
                report = check(settings).splitlines()
                with pytest.raises(StartError) as at_check:
                    check(bounded)
                with pytest.raises(StartError) as at_start:
                    asyncio.run(_open(bounded))
            finally:
                nodes.standby.thaw()
    assert report[0].startswith("The settings are valid")
    assert [line for line in report if reason in line] == [
        f"Warning: {reason}. {TooManyWaiting.advice}"
    ]
    expected = f"Postgres cannot be used: {reason}. {TooManyWaiting.advice}"
    assert (str(at_check.value), str(at_start.value)) == (expected, expected)
    assert caplog.messages == []


async def _open(settings: Settings) -> None:
    async with open_database(settings, settings.database.url.get_secret_value()):
        pass


def _wait_for_a_late_session(node: Node, seconds: float) -> None:
    node.wait_for(
        "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND"
        f" query_start < clock_timestamp() - make_interval(secs => {seconds}))"
    )
