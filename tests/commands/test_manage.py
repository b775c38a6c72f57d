"""The administrator's command line."""

import asyncio
import json
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import psycopg2
import pytest

from db.schema_version import VERSION
from rules.tokens import key_id
from tests.harness.api import Api, basic, bearer
from tests.harness.command_line import manage
from tests.harness.databases import new_database
from tests.harness.pgbouncer import pooled_database, running_pgbouncer
from tests.harness.processes import running_server
from tests.harness.sql import run_sql


@contextmanager
def older_schema(dsn: str) -> Iterator[None]:
    """Let the database have the first version of the schema during the block."""
    change = "UPDATE userauth_schema SET version = %s"
    run_sql(dsn, change, (1,))
    try:
        yield
    finally:
        run_sql(dsn, change, (VERSION,))


def test_a_client_is_added_listed_rotated_and_removed(dsn: str) -> None:
    made = json.loads(manage("clients", "add", "billing", "--json", DATABASE_URL=dsn).stdout)
    assert set(made) == {"name", "id", "secret"}
    listed = json.loads(manage("clients", "list", "--json", DATABASE_URL=dsn).stdout)
    assert [(row["name"], row["id"], row["old_secret_until"]) for row in listed] == [
        ("billing", made["id"], None)
    ]
    rotated = manage("clients", "rotate", "billing", DATABASE_URL=dsn).stdout.split()
    assert rotated[:3] == ["id", made["id"], "secret"]
    assert rotated[3] != made["secret"]
    shown = manage("clients", "list", DATABASE_URL=dsn).stdout
    assert shown.splitlines()[1].startswith(f"billing  {made['id']}  20")
    assert made["secret"] not in shown
    assert manage("clients", "remove", "billing", DATABASE_URL=dsn).returncode == 0
    assert json.loads(manage("clients", "list", "--json", DATABASE_URL=dsn).stdout) == []


def test_check_reads_the_files_that_the_settings_name_and_starts_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    variables = {"DATABASE_URL": "embedded", "USERAUTH_DATABASE__EMBEDDED_DIR": str(folder)}
    ended = manage("check", **variables)
    assert (ended.returncode, ended.stdout) == (0, "The settings are valid (testing).\n")
    for more, message in (
        ({"PORT": "many"}, "server.port"),
        (
            {
                "USERAUTH_SERVER__CERTIFICATE": str(tmp_path / "none.pem"),
                "USERAUTH_SERVER__PRIVATE_KEY": str(tmp_path / "none.key"),
            },
            "server.certificate",
        ),
        (
            {
                "APP_SETTINGS": "production",
                "SECRET_KEYS": "",
                "USERAUTH_SERVER__TRUSTED_PROXIES": "::1",
                "USERAUTH_TOKENS__KEYS_FILE": str(tmp_path / "none"),
            },
            "none",
        ),
    ):
        ended = manage("check", **variables, **more)
        assert (ended.returncode, ended.stdout) == (2, ""), ended
        assert message in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_reports_the_state_of_the_database(dsn: str) -> None:
    ended = manage("check", "--database", DATABASE_URL=dsn)
    assert ended.returncode == 0, ended
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines()[1:])
    assert (lines["role"], lines["superuser"]) == ("userauth", "no")
    assert f"schema version        {VERSION}\n" in ended.stdout
    document = json.loads(manage("check", "--database", "--json", DATABASE_URL=dsn).stdout)
    database = document["database"]
    assert abs(database["clock_offset_seconds"]) < 1
    assert (database["errors"], database["schema_version"]) == ([], VERSION)
    assert database["connections"] <= database["max_connections"]
    assert json.loads(manage("check", "--json", DATABASE_URL=dsn).stdout)["database"] is None


def test_check_reports_what_the_role_lacks_and_what_it_will_change(dsn: str) -> None:
    with older_schema(dsn):
        run_sql(dsn, "REVOKE UPDATE ON tokens FROM userauth")
        try:
            ended = manage("check", "--database", "--json", DATABASE_URL=dsn)
        finally:
            run_sql(dsn, "GRANT UPDATE ON tokens TO userauth")
    assert ended.returncode == 1
    assert "The role userauth lacks UPDATE on tokens" in ended.stderr
    database = json.loads(ended.stdout)["database"]
    assert database["schema_version"] == 1
    assert any("back up first" in each for each in database["warnings"])


def test_check_warns_of_fewer_connections_than_a_server_opens(
    postgres: str,
) -> None:
    def warnings(dsn: str, pool_max: int, processes: int = 1) -> list[str]:
        variables = {
            "DATABASE_URL": dsn,
            "USERAUTH_DATABASE__POOL_MAX": str(pool_max),
            "USERAUTH_SERVER__PROCESSES": str(processes),
        }
        report = json.loads(manage("check", "--database", "--json", **variables).stdout)
        assert report["database"]["usable_connections"] == 20
        return [each for each in report["database"]["warnings"] if "pool_max" in each]

    with new_database(postgres, "limited") as dsn:
        run_sql(dsn, "ALTER DATABASE limited CONNECTION LIMIT 20")
        assert warnings(dsn, 13) == []
        assert warnings(dsn, 3, processes=2) == []
        [of_one] = warnings(dsn, 15)
        [of_two] = warnings(dsn, 4, processes=2)
    assert "opens up to 22 connections (database.pool_max + 7), and Postgres allows its" in of_one
    assert "11 connections (database.pool_max + 7), the 2 processes of this machine 22," in of_two


@pytest.mark.needs("pgbouncer")
def test_commands_reject_a_pooler_that_the_settings_do_not_describe(
    dsn: str, tmp_path: Path
) -> None:
    with running_pgbouncer(dsn) as url:
        shared, own = f"{url}transaction", f"{url}session"
        for arguments in (["check"], ["check", "--database"], ["users", "list"]):
            ended = manage(*arguments, DATABASE_URL=own)
            assert ended.returncode == 1
            assert "set database.pooler to its mode" in ended.stderr
            ended = manage(*arguments, DATABASE_URL=shared, USERAUTH_DATABASE__POOLER="session")
            assert ended.returncode == 1
            assert "server_reset_query = DISCARD ALL" in ended.stderr
            ended = manage(*arguments, DATABASE_URL=own, USERAUTH_DATABASE__POOLER="session")
            assert ended.returncode == 0
        backup = ("backup", str(tmp_path / "backup"))
        ended = manage(*backup, DATABASE_URL=shared)
        assert ended.returncode == 1
        assert "connections share sessions" in ended.stderr
        ended = manage(*backup, DATABASE_URL=own, USERAUTH_DATABASE__POOLER="session")
        assert ended.returncode == 0, ended


@pytest.mark.needs("pgbouncer")
def test_check_reports_what_the_role_lacks_and_commands_connect_directly(postgres: str) -> None:
    with pooled_database(postgres, "commanded") as pooled:
        variables = {
            "DATABASE_URL": pooled.url,
            "USERAUTH_DATABASE__DIRECT_URL": pooled.direct,
            "USERAUTH_DATABASE__POOLER": "transaction",
        }
        assert manage("check", "--database", **variables).returncode == 0
        run_sql(pooled.direct, "ALTER ROLE userauth IN DATABASE commanded RESET lock_timeout")
        pooled.reconnect()
        ended = manage("check", **variables)
        assert ended.returncode == 1
        assert (
            "ALTER ROLE userauth IN DATABASE commanded SET lock_timeout = '2000ms';" in ended.stderr
        )
        assert manage("clients", "add", "billing", **variables).returncode == 0
        variables["USERAUTH_DATABASE__DIRECT_URL"] = pooled.url
        ended = manage("clients", "list", **variables)
        assert ended.returncode == 1
        assert "set database.pooler to its mode" in ended.stderr


def test_check_of_a_database_that_does_not_respond_or_exist_is_an_error(tmp_path: Path) -> None:
    ended = manage("check", "--database", DATABASE_URL="postgresql://u@127.0.0.1:1/x")
    assert ended.returncode == 1
    assert "Postgres does not respond" in ended.stderr
    folder = tmp_path / "postgres"
    variables = {"DATABASE_URL": "embedded", "USERAUTH_DATABASE__EMBEDDED_DIR": str(folder)}
    ended = manage("check", "--database", **variables)
    assert ended.returncode == 1
    assert f"no database in {folder}" in ended.stderr
    assert not folder.exists()


def test_each_kind_of_failure_has_a_message_and_an_exit_code(dsn: str) -> None:
    assert manage("clients", "add", "billing", DATABASE_URL=dsn).returncode == 0
    for arguments, url, code, message in (
        (("clients", "add", "billing"), dsn, 4, "A client named billing already exists."),
        (("clients", "rotate", "unknown"), dsn, 3, "No client is named unknown."),
        (("clients", "remove", "unknown"), dsn, 3, "No client is named unknown."),
        (("clients", "add", "a\nb"), dsn, 2, "printable"),
        (("clients", "add", ""), dsn, 2, "1 to 100"),
        (("clients", "wrong"), dsn, 2, "No such command"),
        (("keys", "add"), dsn, 2, "unset SECRET_KEYS"),
        (("clients", "list"), "postgresql://u@127.0.0.1:1/x", 1, "Postgres does not respond"),
        (("clients", "list"), f"{dsn}&dbname=nosuch", 1, "Postgres rejected the connection"),
        (("backup", "-"), f"{dsn}&dbname=nosuch", 1, "Postgres rejected the connection"),
        (("clients", "list"), "nonsense", 2, "database.url"),
    ):
        ended = manage(*arguments, DATABASE_URL=url)
        assert (ended.returncode, ended.stdout) == (code, ""), ended
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_failure_of_the_database_is_one_sentence_with_its_reason(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE users")
        ended = manage("users", "list", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: The database is unavailable: another session holds a lock that the statement needs:"
        " LockNotAvailable, SQLSTATE 55P03.\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("users", "--help"),
        ("clients", "--help"),
        ("keys", "--help"),
        ("audit", "--help"),
        ("backup", "--help"),
        ("restore", "--help"),
    ],
)
def test_help_needs_neither_settings_nor_database(arguments: tuple[str, ...]) -> None:
    ended = manage(*arguments, DATABASE_URL="nonsense")
    assert ended.returncode == 0
    assert "Usage: manage.py" in ended.stdout


def test_the_printed_secret_authenticates_the_client(dsn: str, tmp_path: Path) -> None:
    async def use(url: str, made: dict[str, str]) -> None:
        api = Api(url)
        token = await api.registered_token()
        answer = await api.request(
            "POST",
            "/api/token/introspect",
            authorization=basic(made["id"], made["secret"]),
            body=urlencode({"token": token}).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.json["active"]
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        made = json.loads(manage("clients", "add", "billing", "--json", DATABASE_URL=dsn).stdout)
        asyncio.run(use(server.url, made))
        assert made["secret"] not in server.written()


def test_keys_are_added_listed_and_retired_when_no_token_needs_them(
    dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    variables = {
        "DATABASE_URL": dsn,
        "SECRET_KEYS": "",
        "USERAUTH_TOKENS__KEYS_FILE": str(file),
    }

    async def use(url: str) -> None:
        api = Api(url)
        token = await api.registered_token()
        [old] = listed()
        assert old["needed"]
        added = manage("keys", "add", **variables)
        assert added.returncode == 0
        for command in ("systemctl reload userauth,", "systemctl reload 'userauth@*.service',"):
            assert command in added.stderr
        kept = manage("keys", "retire", **variables)
        assert kept.stdout == ""
        assert [row["needed"] for row in listed()] == [True, True]
        [signing, until] = [str(row["needed_until"]) for row in listed()]
        assert kept.stderr == f"No key was removed.\nKey {old['id']} is needed until {until}.\n"
        hours = (datetime.fromisoformat(until) - datetime.now(UTC)) / timedelta(hours=1)
        assert (signing, 23.9 < hours < 24) == ("None", True)
        table = manage("keys", "list", **variables).stdout.splitlines()
        assert table[0].split("  ")[-1] == "NEEDED UNTIL"
        assert table[2].split() == [old["id"], "no", "yes", until]
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
        assert answer.status == 204
        assert manage("keys", "retire", **variables).stdout.split() == [old["id"]]
        assert [row["signs"] for row in listed()] == [True]
        api.close()

    def listed() -> list[dict[str, object]]:
        return list(json.loads(manage("keys", "list", "--json", **variables).stdout))

    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server.url))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().split()) == 1


def test_keys_in_the_settings_are_listed_but_not_changed(dsn: str) -> None:
    keys = ["n" * 32, "o" * 32]
    variables = {"DATABASE_URL": dsn, "SECRET_KEYS": ",".join(keys)}
    listed = json.loads(manage("keys", "list", "--json", **variables).stdout)
    assert [row["id"] for row in listed] == [key_id(key) for key in keys]
    assert [(row["signs"], row["needed"]) for row in listed] == [(True, True), (False, False)]
    for command in ("add", "retire"):
        ended = manage("keys", command, **variables)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "The keys are not in a file" in ended.stderr


def test_commands_do_not_migrate_a_schema_of_an_earlier_version(dsn: str) -> None:
    with older_schema(dsn):
        ended = manage("clients", "list", DATABASE_URL=dsn)
    assert ended.returncode == 1
    assert "start the server" in ended.stderr
