#!/usr/bin/env python3
"""Write the files of a Postgres cluster: `configure.py PLAN FOLDER [--owner USER]`.

PLAN is a file such as one-machine.toml. FOLDER gets a folder for each node, which must have the
same path on the machine of the node, and the files of HAProxy, PgBouncer and the server. Passwords
are created once and kept in FOLDER/secrets.json. The script needs only Python.
"""

import argparse
import grp
import json
import os
import pwd
import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from tempfile import NamedTemporaryFile

if __name__ == "__main__":
    # As a script, from any directory.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.cluster.passwords import ROLES, Passwords, read_passwords
from deploy.cluster.plan import FOLDER, Mistakes, Node, Plan, read_plan

TEMPLATES = Path(__file__).resolve().parent
NODE_FILES = ("etcd.yml", "patroni.yml", "role.sql")
# Patroni requires loop_wait + 2 * retry_timeout <= ttl, which is at least 20. It demotes the
# primary after retry_timeout without etcd, whose elections take up to twice its election-timeout.
LOOP_WAIT, RETRY_TIMEOUT = 1, 8
MAX_CONNECTIONS = 200


def write_cluster(plan: Plan, folder: Path, owner: str | None = None) -> Passwords:
    """Write every file; files of the nodes and of PgBouncer belong to the user that runs them."""
    folder = folder.resolve()
    stored = read_passwords(folder / "secrets.json")
    folder.mkdir(parents=True, exist_ok=True)
    by_role = stored or _create_passwords(folder / "secrets.json")
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


def _create_passwords(file: Path) -> Passwords:
    created = Passwords(*(secrets.token_urlsafe(24) for _ in ROLES))
    _write(file, f"{json.dumps(asdict(created), indent=4)}\n")
    return created


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


def _check_owner(owner: str | None, plan: Plan, folder: Path) -> None:
    """Raise Mistakes if the files cannot be given to the owner, or were given to another user."""
    if owner is None:
        if os.geteuid() == 0:
            _check_own(plan, folder)
        return
    try:
        user = pwd.getpwnam(owner)
    except KeyError:
        raise Mistakes([f"--owner: no user {owner!r} exists"]) from None
    try:
        grp.getgrnam(owner)
    except KeyError:
        raise Mistakes([f"--owner: no group {owner!r} exists"]) from None
    if os.geteuid() not in {0, user.pw_uid}:
        raise Mistakes([f"--owner: only root can give files to {owner!r}"])


def _check_own(plan: Plan, folder: Path) -> None:
    """Raise Mistakes if root would take files from the user that runs the programs."""
    names = ["pgbouncer.ini", "userlist.txt", *(node.name for node in plan.nodes)]
    names += [f"{node.name}/{name}" for node in plan.nodes for name in NODE_FILES]
    for file in (folder / name for name in names):
        if os.path.lexists(file) and (uid := file.lstat().st_uid) != 0:
            raise Mistakes([f"{file}: belongs to {_user_name(uid)}: pass the same --owner"])


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _check_folder(plan: Plan, folder: Path) -> None:
    """Raise Mistakes if the folder, or that of a node, cannot be one."""
    # Unlike resolve(), realpath() does not fail at links that lead to each other.
    real = Path(os.path.realpath(folder))
    for each in (real, *real.parents, *(real / node.name for node in plan.nodes)):
        if os.path.lexists(each) and not each.is_dir():
            raise Mistakes([f"{each}: is not a directory"])
    if not FOLDER.fits(str(real)):
        raise Mistakes([f"{real}: must be {FOLDER.description}"])


def _configure(file: Path, folder: Path, owner: str | None) -> Plan:
    """Write the files of a plan, and return it. Raises Mistakes."""
    plan = read_plan(file)
    try:
        _check_folder(plan, folder)
        _check_owner(owner, plan, folder)
        write_cluster(plan, folder, owner)
    except OSError as error:
        where = error.filename or folder
        raise Mistakes([f"{where}: cannot be written: {error.strerror}"]) from error
    return plan


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
    try:
        plan = _configure(options.plan, options.folder, options.owner)
    except Mistakes as mistakes:
        for line in mistakes.lines:
            print(f"configure.py: {line}", file=sys.stderr)
        return 2
    for node in plan.nodes:
        print(f"{options.folder / node.name}: the files of {node.name}, on {node.address}")
    print(f"{options.folder / 'DATABASE_URL'}: the URL for the servers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
