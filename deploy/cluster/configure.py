#!/usr/bin/env python3
"""Write the files of a Postgres cluster: `configure.py PLAN FOLDER [--owner USER]`.

PLAN is a file such as one-machine.toml. FOLDER gets a folder for each node, which must have the
same path on the machine of the node, and the files of HAProxy, PgBouncer and the server. Passwords
are created once and kept in FOLDER/secrets.json. The script needs only Python.
"""

import argparse
import grp
import json
import pwd
import secrets
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Template
from tempfile import NamedTemporaryFile

TEMPLATES = Path(__file__).resolve().parent
NODE_FILES = ("etcd.yml", "patroni.yml", "role.sql")
ROLES = ("superuser", "replication", "rewind", "restapi", "userauth")
# Patroni requires loop_wait + 2 * retry_timeout <= ttl, which is at least 20. It demotes the
# primary after retry_timeout without etcd, whose elections take up to twice its election-timeout.
LOOP_WAIT, RETRY_TIMEOUT = 1, 8
MAX_CONNECTIONS = 200


@dataclass(frozen=True)
class Node:
    """A node, and the ports of its programs."""

    name: str
    address: str
    postgres: int
    patroni: int
    etcd: int
    etcd_peer: int


@dataclass(frozen=True)
class Proxy:
    """The address and port of a proxy."""

    address: str
    port: int
    # Only HAProxy is started as root, and then changes to this user.
    user: str = ""


@dataclass(frozen=True)
class Plan:
    """A cluster as its administrator describes it."""

    cluster: str
    bin_dir: str
    data_dir: str
    clients: Sequence[str]
    nodes: Sequence[Node]
    haproxy: Proxy
    pgbouncer: Proxy
    ttl: int = 30


@dataclass(frozen=True)
class Passwords:
    """The passwords of the cluster."""

    superuser: str = field(repr=False)
    replication: str = field(repr=False)
    rewind: str = field(repr=False)
    restapi: str = field(repr=False)
    userauth: str = field(repr=False)


def read_plan(file: Path) -> Plan:
    """Return the plan in a file."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    cluster = document["cluster"]
    return Plan(
        cluster=cluster.pop("name"),
        nodes=[Node(**node) for node in document["node"]],
        haproxy=Proxy(**document["haproxy"]),
        pgbouncer=Proxy(**document["pgbouncer"]),
        **cluster,
    )


def write_cluster(plan: Plan, folder: Path, owner: str | None = None) -> Passwords:
    """Write every file; files of the nodes and of PgBouncer belong to the user that runs them."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    by_role = _passwords(folder / "secrets.json")
    shared = _shared_values(plan, by_role)
    for node in plan.nodes:
        own = folder / node.name
        own.mkdir(mode=0o700, exist_ok=True)
        values = {**shared, **asdict(node), "folder": own}
        for name in NODE_FILES:
            _fill(name, own, values, owner)
        _give(owner, own)
    values = {**shared, "folder": folder}
    _fill("haproxy.cfg", folder, values)
    # PgBouncer does not run as root.
    _fill("pgbouncer.ini", folder, values, owner)
    _write(folder / "userlist.txt", f'"userauth" "{by_role.userauth}"\n', owner)
    _write(folder / "DATABASE_URL", f"{database_url(plan, by_role)}\n")
    return by_role


def database_url(plan: Plan, by_role: Passwords) -> str:
    """Return the URL that names every node."""
    hosts = ",".join(f"{node.address}:{node.postgres}" for node in plan.nodes)
    return (
        f"postgresql://userauth:{by_role.userauth}@{hosts}/userauth?target_session_attrs=read-write"
    )


def _shared_values(plan: Plan, by_role: Passwords) -> Mapping[str, object]:
    nodes = plan.nodes
    return {
        **{f"{role}_password": value for role, value in asdict(by_role).items()},
        "cluster": plan.cluster,
        "bin_dir": plan.bin_dir,
        "data_dir": plan.data_dir,
        "ttl": plan.ttl,
        "loop_wait": LOOP_WAIT,
        "retry_timeout": RETRY_TIMEOUT,
        "max_connections": MAX_CONNECTIONS,
        "etcd_hosts": ",".join(f"{node.address}:{node.etcd}" for node in nodes),
        "etcd_peers": ",".join(f"{n.name}=http://{n.address}:{n.etcd_peer}" for n in nodes),
        "pg_hba": _lines("    - ", _access_rules(plan)),
        "haproxy_servers": _lines("    server ", map(_haproxy_server, nodes)),
        "haproxy_address": plan.haproxy.address,
        "haproxy_port": plan.haproxy.port,
        "haproxy_user": f"user {plan.haproxy.user}" if plan.haproxy.user else "# no user",
        "pgbouncer_address": plan.pgbouncer.address,
        "pgbouncer_port": plan.pgbouncer.port,
    }


def _access_rules(plan: Plan) -> Iterable[str]:
    for network in plan.clients:
        yield f"host all all {network} scram-sha-256"
        yield f"host replication replicator {network} scram-sha-256"


def _haproxy_server(node: Node) -> str:
    return f"{node.name} {node.address}:{node.postgres} check port {node.patroni}"


def _lines(prefix: str, lines: Iterable[str]) -> str:
    return "\n".join(f"{prefix}{line}" for line in lines)


def _passwords(file: Path) -> Passwords:
    if not file.exists():
        created = {role: secrets.token_urlsafe(24) for role in ROLES}
        _write(file, f"{json.dumps(created, indent=4)}\n")
    return Passwords(**json.loads(file.read_text(encoding="utf-8")))


def _fill(name: str, folder: Path, values: Mapping[str, object], owner: str | None = None) -> None:
    template = Template((TEMPLATES / name).read_text(encoding="utf-8"))
    _write(folder / name, template.substitute(values), owner)


def _write(file: Path, text: str, owner: str | None = None) -> None:
    """Create or replace a file that only its owner can read.

    The user that owns the directory of a node may have put links there, with which root would
    overwrite or give away any file. So the file is a new one, and is never opened by its name.
    """
    with NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as draft:
        try:
            draft.write(text)
            draft.flush()
            _give(owner, draft.fileno())
            Path(draft.name).replace(file)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _give(owner: str | None, file: Path | int) -> None:
    """Give a file, or one that is open, to a user."""
    if owner is not None:
        shutil.chown(file, owner, owner)


def _exists(owner: str) -> bool:
    try:
        pwd.getpwnam(owner)
        grp.getgrnam(owner)
    except KeyError:
        return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Write the files; return the exit code."""
    parser = argparse.ArgumentParser(prog="configure.py", description=__doc__)
    parser.add_argument("plan", type=Path, help="the cluster, such as one-machine.toml")
    parser.add_argument("folder", type=Path, help="where to write, such as /etc/userauth-cluster")
    parser.add_argument(
        "--owner",
        help="the user of Postgres and PgBouncer, such as postgres; needed in each run as root",
    )
    options = parser.parse_args(arguments)
    if options.owner is not None and not _exists(options.owner):
        parser.error(f"no user and group named {options.owner} exist")
    plan = read_plan(options.plan)
    write_cluster(plan, options.folder, options.owner)
    for node in plan.nodes:
        print(f"{options.folder / node.name}: the files of {node.name}, on {node.address}")
    print(f"{options.folder / 'DATABASE_URL'}: the URL for the servers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
