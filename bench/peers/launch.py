"""Starting the peers: their environments, their databases, their processes.

Each does what the server under test does: a token is looked up in Postgres at each request, a
log-in hashes at bcrypt cost 12. Where a peer has a choice it gets what is best for it: no
access log, connections enough for its concurrency, an index on what it looks up.
"""

import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import bcrypt

from bench.cluster import Cluster, Recipe
from bench.people import Person, password_people
from bench.places import BENCH, STORE
from bench.processes import START_SECONDS, BenchError, last_lines, run_bounded, started
from bench.recipes import BCRYPT_COST
from bench.targets import USER_PATH, Target, clean_environment

INSTALL_SECONDS = 600


class FormTarget(Target):
    """A server where one logs in by a form, as OAuth 2 has it."""

    def log_in_request(self, person: Person, address: str | None = None) -> str:
        if address is not None:
            raise NotImplementedError("Peers believe no X-Forwarded-For.")
        form = urlencode({"username": person.email, "password": person.password})
        head = (
            f"POST {USER_PATH}/login HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(form)}",
        )
        return "\r\n".join(head) + "\r\n\r\n" + form


@dataclass(frozen=True)
class Peer:
    """A server of others: its folder, and how it is started on a port."""

    folder: str
    title: str
    # From its programs and a port to a command line.
    command: Callable[[Path, int], list[str]]
    target: type[Target] = Target

    @property
    def home(self) -> Path:
        return BENCH / "peers" / self.folder


def _uvicorn(programs: Path, port: int) -> list[str]:
    options = ["--loop=uvloop", "--no-access-log", "--host=127.0.0.1", f"--port={port}"]
    return [str(programs / "uvicorn"), "--app-dir=.", *options, "app:app"]


def _gunicorn(programs: Path, port: int) -> list[str]:
    # Connections of the benchmark stay open while it waits.
    options = ["--workers=1", "--threads=8", "--keep-alive=60", f"--bind=127.0.0.1:{port}"]
    return [str(programs / "gunicorn"), *options, "app:app"]


PEERS = (
    Peer("fastapi_users", "fastapi-users, database strategy, uvicorn", _uvicorn, FormTarget),
    Peer("flask_sqlalchemy", "Flask + SQLAlchemy, gunicorn, 8 threads", _gunicorn),
)


@contextmanager
def running_peer(peer: Peer, cluster: Cluster) -> Iterator[Target]:
    """Run a peer, having made its environment and its database where they are missing."""
    programs = _environment(peer)
    recipe = (peer.home / "database.sql").read_text(encoding="utf-8")
    url = cluster.prepare(Recipe(f"bench_{peer.folder}", (recipe,), _parameters))
    port = _free_port()
    with started(
        peer.command(programs, port),
        log=peer.folder,
        environment=clean_environment() | {"DATABASE_URL": url},
        folder=peer.home,
    ) as process:
        _wait_until_listening(port, peer.folder)
        yield peer.target(peer.folder, port, process.pid)


def _environment(peer: Peer) -> Path:
    """Make the virtual environment of a peer, or again where its requirements have changed."""
    requirements = peer.home / "requirements.txt"
    folder = STORE / "environments" / peer.folder
    mark, digest = folder / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text(encoding="ascii") != digest:
        print(f"installing {peer.folder} (once) …", flush=True)
        log = f"install-{peer.folder}"
        venv = [sys.executable, "-m", "venv", "--clear", str(folder)]
        run_bounded(venv, seconds=INSTALL_SECONDS, log=log)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        options = ["--disable-pip-version-check", "--requirement", str(requirements)]
        run_bounded([*pip, *options], seconds=INSTALL_SECONDS, log=log)
        mark.write_text(digest, encoding="ascii")
    return folder / "bin"


def _parameters() -> dict[str, object]:
    def hashed(password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()

    passwords = [person.password for person in password_people()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        *hashes, hash_of_nobody = pool.map(hashed, [*passwords, "the password of nobody"])
    return {"hashes": hashes, "hash_of_nobody": hash_of_nobody}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_listening(port: int, log: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise BenchError(f"{log} did not start ({START_SECONDS} s at most): {last_lines(log)}")
