"""The servers under test, each one process on 127.0.0.1, and how a client asks them."""

import base64
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.people import SIGNING_KEY, Person
from bench.processes import read_port, started
from bench.recipes import BCRYPT_COST

USER_PATH = "/api/user"
# What of our own environment a server must not see: it would change its settings.
_OWN_VARIABLES = ("USERAUTH_", "APP_SETTINGS", "DATABASE_URL", "SECRET_KEYS", "HOST", "PORT", "PG")


@dataclass(frozen=True)
class Target:
    """A server that runs."""

    name: str
    port: int
    pid: int

    @property
    def user_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{USER_PATH}"

    def user_request(self, authorization: str) -> str:
        """Return the request for one's own user."""
        return _request("GET", USER_PATH, self.port, {"Authorization": authorization})

    def log_in_request(self, person: Person, address: str | None = None) -> str:
        """Return the request that logs somebody in, as a proxy sends it from an address."""
        path = f"{USER_PATH}/login"
        headers = {"Authorization": basic(person)} | _forwarded_for(address)
        return _request("GET", path, self.port, headers)

    def new_password_request(self, authorization: str, password: str, address: str) -> str:
        """Return the request that changes a password, as a proxy sends it from an address."""
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        body = json.dumps({"password": password})
        return _request("PATCH", USER_PATH, self.port, headers | _forwarded_for(address), body)


def basic(person: Person) -> str:
    """Return the Authorization value of somebody who presents e-mail and password."""
    return "Basic " + base64.b64encode(f"{person.email}:{person.password}".encode()).decode()


def bearers(tokens: Sequence[str]) -> list[str]:
    """Return the Authorization values of tokens."""
    return [f"Bearer {token}" for token in tokens]


@contextmanager
def bare() -> Iterator[Target]:
    """Run the limit: Tornado and nothing else."""
    command = [sys.executable, "-m", "bench.bare"]
    with started(command, log="bare", environment=clean_environment()) as process:
        yield Target("bare", read_port(process, "bare"), process.pid)


@contextmanager
def userauth(database_url: str, name: str = "userauth", **variables: str) -> Iterator[Target]:
    """Run the server as it is deployed, its log in a file."""
    environment = clean_environment() | {
        "APP_SETTINGS": "production",
        # wrk speaks plain HTTP to it, as a proxy on the same machine does.
        "USERAUTH_SERVER__REQUIRE_HTTPS": "false",
        "DATABASE_URL": database_url,
        "SECRET_KEYS": SIGNING_KEY,
        "PORT": "0",
        # A thousand connections come from one address.
        "USERAUTH_LIMITS__NETWORK_CONNECTIONS": "0",
        "USERAUTH_PASSWORDS__BCRYPT_COST": str(BCRYPT_COST),
        **variables,
    }
    command = [sys.executable, "server.py"]
    with started(command, log=name, environment=environment) as process:
        yield Target(name, read_port(process, name), process.pid)


def clean_environment() -> dict[str, str]:
    """Return our environment without what steers a server or Postgres."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)
    }


def _forwarded_for(address: str | None) -> dict[str, str]:
    return {"X-Forwarded-For": address} if address else {}


def _request(method: str, path: str, port: int, headers: Mapping[str, str], body: str = "") -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join(lines) + "\r\n\r\n" + body
