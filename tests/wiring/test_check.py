"""``--check`` finds what would prevent the start."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from db.errors import TooManyWaiting
from settings import Settings
from tests.harness.command_line import manage
from tests.harness.configuration import settings_with
from tests.harness.replication import STANDBY, Node, replicated
from tests.harness.sql import run_sql
from wiring.check import check
from wiring.database import open_database
from wiring.documents import static_documents
from wiring.errors import StartError
from wiring.pages import page_routes


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
    with pytest.raises(StartError) as at_start:
        (static_documents(settings), page_routes(settings))
    with pytest.raises(StartError) as at_check:
        check(settings)
    assert str(at_check.value) == str(at_start.value)
    ended = manage("check", **{f"USERAUTH_{key}": value for key, value in variables.items()})
    assert ended.returncode != 0
    assert str(at_start.value) in ended.stderr


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
