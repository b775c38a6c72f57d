"""PgBouncer between userauth and the Postgres of a test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import parse_qs, urlsplit

from postgres.programs import account_for
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program


@contextmanager
def running_pgbouncer(dsn: str, *, reset_query: str = "DISCARD ALL") -> Iterator[str]:
    """Run PgBouncer; yield its URL, which lacks the pool mode as the name of the database.

    With an empty ``reset_query``, a session keeps what its previous user prepared in it.
    """
    port = free_port()
    folder = parse_qs(urlsplit(dsn).query)["host"][0]
    database = urlsplit(dsn).path.removeprefix("/")
    modes = "".join(
        f"{mode} = host={folder} dbname={database} user=userauth pool_mode={mode}\n"
        for mode in ("session", "transaction")
    )
    # It refuses to run as root, and not every user may enter the folder of the socket.
    account = account_for(Path(folder))
    with NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as configuration:
        configuration.write(
            f"[databases]\n{modes}[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"unix_socket_dir =\nauth_type = any\nserver_reset_query = {reset_query}\n"
        )
        configuration.flush()
        Path(configuration.name).chmod(0o644)
        process = subprocess.Popen(
            [get_program("pgbouncer"), "--quiet", configuration.name],
            stderr=subprocess.DEVNULL,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        with listening(process, port):
            yield f"postgresql://userauth@127.0.0.1:{port}/"
