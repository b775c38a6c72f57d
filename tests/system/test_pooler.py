"""Servers behind PgBouncer in transaction mode."""

import asyncio
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from deploy.cluster.configure import write_cluster
from deploy.cluster.passwords import Passwords
from deploy.cluster.plan import Plan, Proxy, read_plan
from postgres.programs import account_for
from tests.harness.api import Api, bearer
from tests.harness.configuration import ROOT
from tests.harness.pgbouncer import pooled_database
from tests.harness.pooled_servers import check_mixed_calls
from tests.harness.processes import free_port, listening, run_to_the_end, running_server
from tests.harness.programs import get_program
from tests.harness.replication import Node, replicated
from tests.harness.sql import run_sql


@pytest.mark.needs("pgbouncer")
def test_two_servers_share_the_four_sessions_of_a_pooler_without_an_error(
    postgres: str, tmp_path: Path
) -> None:
    seen = check_mixed_calls(postgres, tmp_path, seconds=2)
    assert seen["DELETE /api/user", 200] >= 24


@pytest.mark.needs("pgbouncer")
def test_a_server_does_not_start_behind_a_pooler_that_the_settings_do_not_describe(
    postgres: str,
) -> None:
    with pooled_database(postgres, "started") as pooled:
        variables = {"DATABASE_URL": pooled.url, "USERAUTH_DATABASE__DIRECT_URL": pooled.direct}
        run_sql(pooled.direct, "ALTER ROLE userauth IN DATABASE started RESET lock_timeout")
        for pooler, sentence in (
            ("none", "set database.pooler to its mode"),
            ("session", "connections share sessions of Postgres"),
            ("transaction", "ALTER ROLE userauth IN DATABASE started SET lock_timeout = '2000ms';"),
        ):
            ended = run_to_the_end(**variables, USERAUTH_DATABASE__POOLER=pooler)
            assert ended.returncode == 1
            assert sentence in ended.stderr
            assert "Traceback" not in ended.stderr


@pytest.mark.needs("pgbouncer")
def test_a_server_works_behind_the_pgbouncer_of_the_cluster(
    stopped_cluster: Path, open_folder: Path, tmp_path: Path
) -> None:
    with replicated(stopped_cluster, open_folder) as nodes:
        # Postgres is where HAProxy would be.
        plan = replace(
            read_plan(ROOT / "deploy/cluster/one-machine.toml"),
            haproxy=Proxy("127.0.0.1", nodes.primary.port),
            pgbouncer=Proxy("127.0.0.1", free_port()),
        )
        files = open_folder / "files"
        account = account_for(open_folder)
        passwords = write_cluster(plan, files, pwd.getpwuid(account.uid).pw_name)
        require_password(nodes.primary, passwords)
        with running_pgbouncer_of(plan, files) as pooled:
            direct = pooled.replace(str(plan.pgbouncer.port), str(plan.haproxy.port))
            set_role_as_documented(direct)
            assert shown_by_console(pooled, "SHOW POOLS")
            assert shown_by_console(pooled, "RECONNECT") == []
            variables = {
                "DATABASE_URL": pooled,
                "USERAUTH_DATABASE__DIRECT_URL": direct,
                "USERAUTH_DATABASE__POOLER": "transaction",
                # The machine may be busy.
                "USERAUTH_SERVER__LAG_WARNING_SECONDS": "60",
            }
            with running_server(variables, tmp_path / "log") as server:
                asyncio.run(use_a_token(server.url))
                written = server.written()
    problems = [line for line in written.splitlines() if re.search("WARNING|ERROR", line)]
    # The nodes of tests write nothing to the disk at once.
    assert all("fsync is off" in line for line in problems)


def require_password(node: Node, passwords: Passwords) -> None:
    """Require the password of the server's role on a node, as a node of the cluster does."""
    rules = node.data / "pg_hba.conf"
    rule = "host all userauth all scram-sha-256"
    rules.write_text(f"{rule}\n{rules.read_text('utf-8')}", "utf-8")
    node.sql(f"ALTER ROLE userauth PASSWORD '{passwords.userauth}'")
    node.sql("SELECT pg_reload_conf()")
    node.wait_for("count(*) > 0 FROM pg_hba_file_rules WHERE user_name = '{userauth}'")


def set_role_as_documented(direct: str) -> None:
    """Run the statements of docs/database.md as the role itself."""
    text = (ROOT / "docs/database.md").read_text("utf-8")
    statements = re.findall(r"^ +(ALTER ROLE .+;)$", text, re.MULTILINE)
    assert len(statements) == 7
    for statement in statements:
        # Here the tables are in another schema.
        run_sql(direct, statement.replace("search_path = userauth", "search_path = public"))


@contextmanager
def running_pgbouncer_of(plan: Plan, files: Path) -> Iterator[str]:
    """Run PgBouncer with the file that was written for it; yield the URL."""
    account = account_for(files.parent)
    process = subprocess.Popen(
        [get_program("pgbouncer"), "--quiet", str(files / "pgbouncer.ini")],
        stderr=subprocess.DEVNULL,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    password = (files / "userlist.txt").read_text("utf-8").split('"')[3]
    with listening(process, plan.pgbouncer.port):
        yield f"postgresql://userauth:{password}@127.0.0.1:{plan.pgbouncer.port}/userauth"


def shown_by_console(pooled: str, command: str) -> list[tuple[object, ...]]:
    """Return what a command shows in the console of PgBouncer."""
    url = urlsplit(pooled)._replace(path="/pgbouncer").geturl()
    with closing(psycopg2.connect(url)) as console:
        console.autocommit = True
        with console.cursor() as cursor:
            cursor.execute(command)
            return cursor.fetchall() if cursor.description else []


async def use_a_token(url: str) -> None:
    """Register, and send the token to several calls."""
    api = Api(url)
    token = await api.registered_token()
    for path in ("/api/user", "/api/user/tokens", "/api/user/events", "/health/ready"):
        assert (await api.request("GET", path, authorization=bearer(token))).status == 200
    api.close()
