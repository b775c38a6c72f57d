"""PocketBase's own database: users in SQLite, and tokens that each request is checked against."""

import base64
import hashlib
import hmac
import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench.dataset import EXPIRES_AT, USERS, email
from bench.processes import run_to_end

_COLLECTION = "_pb_users_auth_"
_RECORDS = "/api/collections/users/records"
_PREPARE_SECONDS = 120
# Without its request log, like the other peers.
_WITHOUT_LOG = (
    "UPDATE _params SET value = json_set(value, '$.logs.maxDays', 0) WHERE id = 'settings'"
)
_INSERT = (
    "INSERT INTO users (id, email, name, tokenKey, password, verified, created, updated)"
    " VALUES (?, ?, ?, ?, '', TRUE, ?, ?)"
)
_CREATED = "2026-01-01 00:00:00.000Z"


def prepare(program: Path, directory: Path) -> None:
    """Create the database with the users of the bench, unless it exists."""
    marker = directory / "filled"
    if marker.exists():
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    command = [str(program), "migrate", "up", f"--dir={directory}"]
    run_to_end(command, timeout=_PREPARE_SECONDS, log="prepare-pocketbase")
    with closing(sqlite3.connect(directory / "data.db")) as database, database:
        database.execute(_WITHOUT_LOG)
        database.executemany(_INSERT, (_row(number) for number in range(1, USERS + 1)))
    marker.touch()


def authorizations(directory: Path, numbers: Sequence[int]) -> list[str]:
    """Return a token of each user, followed by a tab and the path of its record."""
    with closing(sqlite3.connect(directory / "data.db")) as database:
        query = "SELECT options FROM _collections WHERE id = ?"
        [options] = database.execute(query, (_COLLECTION,)).fetchone()
    secret = json.loads(options)["authToken"]["secret"]
    return [f"{_token(number, secret)}\t{_RECORDS}/{_id(number)}" for number in numbers]


def _row(number: int) -> tuple[str, ...]:
    name = f"User {number}"
    return _id(number), email(number), name, _token_key(number), _CREATED, _CREATED


def _id(number: int) -> str:
    return f"{number:015d}"


def _token_key(number: int) -> str:
    return hashlib.sha256(f"token {number}".encode()).hexdigest()[:50]


def _token(number: int, secret: str) -> str:
    """Return a JWT like those of PocketBase: its key consists of those of user and collection."""
    claims = {
        "collectionId": _COLLECTION,
        "exp": int(EXPIRES_AT.timestamp()),
        "id": _id(number),
        "refreshable": True,
        "type": "auth",
    }
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    key = _token_key(number) + secret
    return f"{signed}.{_encoded(hmac.digest(key.encode(), signed.encode(), 'sha256'))}"


def _part(content: object) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
