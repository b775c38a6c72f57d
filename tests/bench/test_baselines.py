"""The baselines perform the same work as the server."""

import json
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.cluster import Cluster
from bench.load import hashing, pgbench
from bench.processes import run_to_end
from db.token_lookups import FIND_USERS
from tests.harness.configuration import ROOT
from tests.harness.sql import run_sql

_FILL = """
INSERT INTO users (id, email, email_key, password_hash)
VALUES (md5('user 7')::uuid, 'user7@example.com', 'user7@example.com', 'a hash');
INSERT INTO tokens (id, user_id, created_at, expires_at)
VALUES (md5('token 7')::uuid, md5('user 7')::uuid, '2026-01-01Z', '2040-01-01Z');
"""


def test_pgbench_looks_up_a_token_with_the_statement_of_the_server(dsn: str) -> None:
    _, lookup = pgbench.LOOKUP.split("\n", 1)
    keys = "ARRAY[md5('token ' || :n)::uuid]"
    assert lookup.replace(keys, "$1").strip(";\n") == FIND_USERS.sql.strip()
    run_sql(dsn, _FILL)
    [row] = run_sql(dsn, lookup.replace(":n", "7"))
    assert row[2] == "user7@example.com"
    assert run_sql(dsn, lookup.replace(":n", "8")) == []


def test_pgbench_runs_the_lookup_as_a_prepared_statement(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.processes.LOGS", tmp_path)
    monkeypatch.setattr(pgbench, "LISTS", tmp_path)
    run = Mock(wraps=run_to_end)
    monkeypatch.setattr(pgbench, "run_to_end", run)
    options = parse_qs(urlsplit(dsn).query)
    cluster = Cluster(dsn, options["host"][0], options["port"][0])
    assert pgbench.measure_selects(cluster, "postgres", seconds=1) > 0
    [call] = run.call_args_list
    assert "--protocol=prepared" in call.args[0]


@pytest.mark.parametrize(("cpus", "threads"), [(2, "2"), (200, "64")])
def test_bcrypt_alone_has_as_many_threads_as_the_server_has_workers(
    monkeypatch: pytest.MonkeyPatch, cpus: int, threads: str
) -> None:
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str], *, timeout: float, log: str) -> str:
        commands.append(command)
        assert (timeout, log) == (70, "hashing")
        return json.dumps([1.0, 2.0, 3.0])

    monkeypatch.setattr("wiring.passwords.available_cpus", lambda: cpus)
    monkeypatch.setattr(hashing, "run_to_end", run)
    assert hashing.measure_hashing(cost=12, seconds=10) == pytest.approx(1)
    [command] = commands
    assert command[-3:] == [threads, "12", "10"]


def test_only_what_describes_the_whole_machine_counts_all_its_cpus() -> None:
    whole = {"bench/machine.py", "bench/noise.py"}
    found = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "bench").rglob("*.py")
        if "cpu_count" in file.read_text(encoding="utf-8")
    }
    assert found == whole
