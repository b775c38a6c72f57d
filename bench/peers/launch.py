"""The peers: their virtual environments, their databases and their processes.

Each performs the work of the server under test: it looks up the token in Postgres on every request,
and a login hashes at bcrypt cost 12. Its configuration is the fastest one: no access log, enough
connections for its concurrency, an index for every lookup. PocketBase uses SQLite in its process
instead of Postgres, and its logins are not measured.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import bcrypt

from bench.cluster import Cluster, Recipe
from bench.dataset import Credentials, password_credentials, token_digest
from bench.listening import wait_until_listening
from bench.paths import BENCH, STORE
from bench.peers.pocketbase import data as pocketbase
from bench.processes import run_to_end, running
from bench.recipes import BCRYPT_COST
from bench.targets import USER_PATH, Target, bearers, clean_environment
from ops.cpus import available_cpus
from tests.harness.processes import free_port

INSTALL_SECONDS = 600


class FormTarget(Target):
    """A server with the login form of OAuth 2."""

    def login_request(self, credentials: Credentials, address: str | None = None) -> str:
        if address is not None:
            raise NotImplementedError("Peers ignore X-Forwarded-For.")
        form = urlencode({"username": credentials.email, "password": credentials.password})
        headers = (
            f"POST {USER_PATH}/login HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(form)}",
        )
        return "\r\n".join(headers) + "\r\n\r\n" + form


def _digests(numbers: Sequence[int]) -> list[str]:
    return bearers([token_digest(number) for number in numbers])


@dataclass(frozen=True)
class Peer:
    """A server to compare with: its directory, and the command that starts it on a port."""

    directory: str
    title: str
    # Called with the directory of its programs and a port.
    command: Callable[[Path, int], list[str]]
    target: type[Target] = Target
    # Returns the Authorization values of users, given their numbers.
    tokens: Callable[[Sequence[int]], list[str]] = _digests
    is_comparable_at_login: bool = True

    @property
    def home(self) -> Path:
        return BENCH / "peers" / self.directory


def _uvicorn(programs: Path, port: int) -> list[str]:
    options = ["--loop=uvloop", "--no-access-log", "--host=127.0.0.1", f"--port={port}"]
    return [str(programs / "uvicorn"), "--app-dir=.", *options, "app:app"]


def _gunicorn(programs: Path, port: int) -> list[str]:
    # The connections of the bench stay open between its loads.
    options = ["--workers=1", "--threads=8", "--keep-alive=60", f"--bind=127.0.0.1:{port}"]
    return [str(programs / "gunicorn"), *options, "app:app"]


def _pocketbase(programs: Path, port: int) -> list[str]:
    program = programs / "pocketbase"
    pocketbase.prepare(program, _POCKETBASE_DATA)
    return [str(program), "serve", f"--http=127.0.0.1:{port}", f"--dir={_POCKETBASE_DATA}"]


def _pocketbase_tokens(numbers: Sequence[int]) -> list[str]:
    return pocketbase.authorizations(_POCKETBASE_DATA, numbers)


_POCKETBASE_DATA = STORE / "pocketbase"
PEERS = (
    Peer(
        "pocketbase",
        "PocketBase, a record by token, SQLite in its process",
        _pocketbase,
        tokens=_pocketbase_tokens,
        is_comparable_at_login=False,
    ),
    Peer("fastapi_users", "fastapi-users, database strategy, uvicorn", _uvicorn, FormTarget),
    Peer("flask_sqlalchemy", "Flask + SQLAlchemy, gunicorn, 8 threads", _gunicorn),
)


@contextmanager
def running_peer(peer: Peer, cluster: Cluster) -> Iterator[Target]:
    """Run a peer; create its virtual environment and its database if necessary."""
    programs = _environment(peer)
    url = _prepare_database(peer, cluster)
    port = free_port()
    with running(
        peer.command(programs, port),
        log=peer.directory,
        environment=clean_environment() | {"DATABASE_URL": url},
        directory=peer.home,
    ) as process:
        wait_until_listening(process, port, peer.directory)
        yield peer.target(peer.directory, port, process.pid)


def _prepare_database(peer: Peer, cluster: Cluster) -> str:
    """Return the URL of the database of a peer; without a recipe, it has its own."""
    file = peer.home / "database.sql"
    if not file.exists():
        return ""
    recipe = file.read_text(encoding="utf-8")
    return cluster.prepare(Recipe(f"bench_{peer.directory}", (recipe,), _parameters))


def _environment(peer: Peer) -> Path:
    """Create the virtual environment of a peer unless its requirements are unchanged."""
    requirements = peer.home / "requirements.txt"
    directory = STORE / "environments" / peer.directory
    marker, digest = directory / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not marker.exists() or marker.read_text(encoding="ascii") != digest:
        print(f"installing {peer.directory} (once) …", flush=True)
        log = f"install-{peer.directory}"
        venv = [sys.executable, "-m", "venv", "--clear", str(directory)]
        run_to_end(venv, timeout=INSTALL_SECONDS, log=log)
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        options = ["--disable-pip-version-check", "--requirement", str(requirements)]
        run_to_end([*pip, *options], timeout=INSTALL_SECONDS, log=log)
        marker.write_text(digest, encoding="ascii")
    return directory / "bin"


def _parameters() -> dict[str, object]:
    def hashed(password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()

    passwords = [each.password for each in password_credentials()]
    with ThreadPoolExecutor(available_cpus()) as pool:
        *hashes, unknown_hash = pool.map(hashed, [*passwords, "a password of no user"])
    return {"hashes": hashes, "unknown_hash": unknown_hash}
