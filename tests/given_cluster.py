"""A Postgres that an administrator gives: Debian's, of another version, with TLS and a password."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from db.embedded_programs import Account, account_for, run
from tests.processes import free_port
from tests.sql import run_sql

PASSWORD = "the pässword/of+the=cluster"


@contextmanager
def given_cluster(folder: Path) -> Iterator[str]:
    """Run a cluster in a folder that its user can reach; yield where an empty database is."""
    data = folder / "given"
    data.mkdir(mode=0o700)
    account = account_for(data)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/initdb")).parent
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    for path in (data, folder / "password"):
        shutil.chown(path, account.uid, account.gid)
    folder.chmod(0o755)

    def do(*command: str) -> None:
        code, said = run(list(command), account, folder)
        assert code == 0, said

    do(
        str(programs / "initdb"),
        f"--pgdata={data}",
        "--username=postgres",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
    )
    make_certificate(data, account)
    port = free_port()
    options = f"-c ssl=on -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
    pg_ctl = (str(programs / "pg_ctl"), f"--pgdata={data}")
    do(*pg_ctl, "start", "--wait", f"--log={data / 'log'}", f"--options={options}")
    try:
        ending = f"?sslmode=verify-ca&sslrootcert={folder / 'server.crt'}"
        place = f"{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        for statement in (
            f"CREATE ROLE userauth LOGIN PASSWORD '{PASSWORD}'",
            "CREATE DATABASE userauth OWNER userauth ENCODING 'UTF8' TEMPLATE template0",
        ):
            run_sql(f"postgresql://postgres:{place}/postgres{ending}", statement)
        yield f"postgresql://userauth:{place}/userauth{ending}"
    finally:
        do(*pg_ctl, "stop", "--mode=immediate", "--wait")


def make_certificate(data: Path, account: Account) -> None:
    """Make a certificate for the cluster, which clients find beside its folder."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"),
            *("-keyout", str(data / "server.key"), "-out", str(data / "server.crt")),
        ],
        check=True,
        capture_output=True,
    )
    (data / "server.key").chmod(0o600)
    for name in ("server.key", "server.crt"):
        shutil.chown(data / name, account.uid, account.gid)
    shutil.copy(data / "server.crt", data.parent / "server.crt")
