"""The files of a cluster of Postgres: complete, private, and accepted by its programs."""

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg2.extensions
import pytest

from deploy.cluster.configure import NODE_FILES, main, write_cluster
from deploy.cluster.plan import read_plan
from postgres.programs import find_programs
from tests.harness.configuration import ROOT
from tests.harness.pages import blocks, page, section
from tests.harness.programs import get_program
from tests.harness.replication import primaries
from tests.harness.sql import run_sql

CLUSTER = ROOT / "deploy" / "cluster"
PLANS = ["one-machine", "three-machines"]
[(_, WATCHDOG)] = blocks(section(page("docs/scaling.md"), "### Hardware watchdog"))


@pytest.fixture(params=PLANS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write the files of a plan; return their folder."""
    assert main([str(CLUSTER / f"{request.param}.toml"), str(tmp_path)]) == 0
    return tmp_path


def test_every_value_is_filled_in_and_only_the_owner_can_read_the_files(written: Path) -> None:
    files = [file for file in written.rglob("*") if file.is_file()]
    assert len(files) == 3 * 3 + 5
    for file in files:
        text = file.read_text("utf-8")
        assert not any(line.strip().startswith("$") for line in text.splitlines()), file
        assert "$" not in text, file
        assert file.stat().st_mode & 0o077 == 0, file
    assert all((written / node).stat().st_mode & 0o077 == 0 for node in ("n1", "n2", "n3"))


def test_passwords_are_kept_when_the_files_are_written_again(tmp_path: Path) -> None:
    for plan in PLANS:
        main([str(CLUSTER / f"{plan}.toml"), str(tmp_path)])
        if plan == PLANS[0]:
            before = (tmp_path / "secrets.json").read_text("utf-8")
    assert (tmp_path / "secrets.json").read_text("utf-8") == before
    assert len(set(json.loads(before).values())) == 5


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_in_the_directory_of_a_node_are_replaced_and_not_followed(
    written: Path, link: Callable[[Path, Path], None]
) -> None:
    other = written / "other"
    other.write_text("of another user", "utf-8")
    other.chmod(0o644)
    files = [written / "n1" / name for name in NODE_FILES]
    for file in files:
        file.unlink()
        link(other, file)
    link(other, written / "n1" / "more")
    # The owner is given only if the caller is root.
    owner = ["--owner", "daemon"] if os.geteuid() == 0 else []
    uid = pwd.getpwnam("daemon").pw_uid if owner else os.geteuid()
    assert main([str(CLUSTER / "one-machine.toml"), str(written), *owner]) == 0
    assert other.read_text("utf-8") == "of another user"
    assert (other.stat().st_mode & 0o777, other.stat().st_uid) == (0o644, os.geteuid())
    assert [file.is_symlink() for file in files] == 3 * [False]
    assert {(file.stat().st_mode & 0o777, file.stat().st_uid) for file in files} == {(0o600, uid)}
    assert (written / "n1").stat().st_uid == uid


def test_a_failed_run_leaves_no_temporary_file(tmp_path: Path) -> None:
    plan = read_plan(CLUSTER / "one-machine.toml")
    with pytest.raises(LookupError):
        write_cluster(plan, tmp_path, owner="nosuchuser")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["n1", "secrets.json"]


def test_the_url_of_the_servers_names_every_node(tmp_path: Path) -> None:
    main([str(CLUSTER / "one-machine.toml"), str(tmp_path)])
    nodes = read_plan(CLUSTER / "one-machine.toml").nodes
    dsn = psycopg2.extensions.parse_dsn((tmp_path / "DATABASE_URL").read_text("utf-8").strip())
    assert dsn["port"] == ",".join(str(node.postgres) for node in nodes)
    assert (dsn["user"], dsn["target_session_attrs"]) == ("userauth", "read-write")
    assert dsn["password"] in (tmp_path / "n1" / "role.sql").read_text("utf-8")


def test_the_role_of_the_cluster_has_the_documented_statements(written: Path) -> None:
    documented = section(page("docs/database.md"), "## Create the role and the database")
    sql = "".join(text for language, text in blocks(documented) if language == "sql")
    statements = sql.splitlines()
    assert len(statements) == 9
    password = json.loads((written / "secrets.json").read_text("utf-8"))["userauth"]
    for node in ("n1", "n2", "n3"):
        role = (written / node / "role.sql").read_text("utf-8").replace(password, "…")
        assert set(statements) <= set(role.splitlines())


def test_a_standby_has_synchronous_standby_names_before_it_is_promoted(written: Path) -> None:
    added = "synchronous_standby_names = '*'"
    for node in ("n1", "n2", "n3"):
        patroni = (written / node / "patroni.yml").read_text("utf-8")
        [data] = re.findall(r"^  data_dir: (.+)$", patroni, re.MULTILINE)
        role = (written / node / "role.sql").read_text("utf-8")
        assert f'echo "{added}" >>"{data}/postgresql.base.conf"' in role


def test_a_cluster_is_not_created_if_its_standbys_would_lack_synchronous_standby_names(
    stopped_cluster: Path, open_folder: Path, tmp_path: Path
) -> None:
    text = (CLUSTER / "one-machine.toml").read_text("utf-8")
    text = text.replace("/usr/lib/postgresql/15/bin", str(find_programs()))
    (tmp_path / "plan.toml").write_text(text.replace("/var/lib", str(tmp_path / "the data")))
    assert main([str(tmp_path / "plan.toml"), str(tmp_path / "the files")]) == 0
    patroni = (tmp_path / "the files" / "n1" / "patroni.yml").read_text("utf-8")
    [command] = re.findall(r"^  post_init: '(.+)'$", patroni, re.MULTILINE)
    data = tmp_path / "the data" / "userauth-cluster" / "n1" / "postgres"
    with primaries(stopped_cluster, open_folder, 2) as [node]:
        url = f"postgresql://postgres@127.0.0.1:{node.port}/postgres"

        def create() -> subprocess.CompletedProcess[str]:
            run_sql(url, "DROP DATABASE userauth")
            run_sql(url, "DROP ROLE userauth")
            # As Patroni runs it.
            arguments = [*shlex.split(command), url]
            return subprocess.run(
                arguments, capture_output=True, text=True, timeout=30, check=False
            )

        failed = create()
        assert failed.returncode != 0
        assert "synchronous_standby_names is not in postgresql.base.conf" in failed.stderr
        data.mkdir(parents=True)
        created = create()
    assert (created.returncode, created.stdout, created.stderr) == (0, "", "")
    added = (data / "postgresql.base.conf").read_text("utf-8")
    assert added == "synchronous_standby_names = '*'\n"


def test_the_primary_waits_for_an_election_of_etcd_and_is_demoted_before_its_replacement(
    written: Path,
) -> None:
    number = partial(_number, (written / "n1" / "patroni.yml").read_text("utf-8"))
    election = 2 * _number((written / "n1" / "etcd.yml").read_text("utf-8"), "election-timeout")
    assert election / 1000 < number("retry_timeout")
    assert number("loop_wait") + 2 * number("retry_timeout") <= number("ttl")


def _number(text: str, name: str) -> int:
    """Return the value of an entry of a YAML file."""
    [value] = re.findall(rf"^ *{name}: (\d+)$", text, re.MULTILINE)
    return int(value)


def test_no_two_programs_of_the_cluster_on_one_machine_have_the_same_port() -> None:
    plan = read_plan(CLUSTER / "one-machine.toml")
    ports = [plan.haproxy.port, plan.pgbouncer.port]
    for node in plan.nodes:
        ports += [node.postgres, node.patroni, node.etcd, node.etcd_peer]
    assert len(set(ports)) == 14


@pytest.mark.needs("haproxy")
def test_haproxy_accepts_its_file(written: Path) -> None:
    command = [get_program("haproxy"), "-c", "-q", "-f", str(written / "haproxy.cfg")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_unit_of_patroni_does_not_hide_the_watchdog_from_its_user() -> None:
    unit = (CLUSTER / "userauth-patroni@.service").read_text("utf-8")
    assert "chown postgres /dev/watchdog" in WATCHDOG
    assert "\nUser=postgres\n" in unit
    assert not re.search(r"^(PrivateDevices|DevicePolicy|DeviceAllow)=", unit, re.MULTILINE)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    ("name", "drop_in"), [("etcd", ""), ("patroni", ""), ("patroni", f"\n{WATCHDOG}")]
)
def test_systemd_accepts_the_units_of_a_node(tmp_path: Path, name: str, drop_in: str) -> None:
    unit = f"userauth-{name}@.service"
    text = (CLUSTER / unit).read_text("utf-8") + drop_in
    for program in ("/usr/bin/etcd", "/opt/patroni/bin/patroni"):
        text = text.replace(program, sys.executable)
    copy = tmp_path / unit
    copy.write_text(text.replace("/opt/userauth", str(ROOT)), encoding="utf-8")
    ended = subprocess.run(
        [get_program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
