"""The servers under test, each one process on 127.0.0.1, and the requests to them."""

import base64
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.dataset import SIGNING_KEY, Credentials
from bench.processes import read_port, running
from bench.recipes import BCRYPT_COST
from tests.harness.environment_variables import remove_unwanted

USER_PATH = "/api/user"
SIGN_IN_PATH = "/auth/sign-in"


@dataclass(frozen=True)
class FormToken:
    """The token of a form, and the cookie that binds it to a browser."""

    token: str
    cookie: str


@dataclass(frozen=True)
class Target:
    """A running server: one process, or several with one port."""

    name: str
    port: int
    pid: int
    further_pids: tuple[int, ...] = ()

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.pid, *self.further_pids)

    @property
    def user_url(self) -> str:
        return self.url(USER_PATH)

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def user_request(self, authorization: str) -> str:
        """Return a request for the user who owns the credentials."""
        return _request("GET", USER_PATH, self.port, {"Authorization": authorization})

    def login_request(self, credentials: Credentials, address: str | None = None) -> str:
        """Return a login request in the form in which a proxy forwards it from an IP address."""
        path = f"{USER_PATH}/login"
        headers = {"Authorization": basic(credentials)} | _forwarded_for(address)
        return _request("GET", path, self.port, headers)

    def sign_in_request(self, credentials: Credentials, token: FormToken) -> str:
        """Return a form that signs in; the response is a page that continues to another service."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": token.cookie,
            "Sec-Fetch-Site": "same-origin",
        }
        values = {"email": credentials.email, "password": credentials.password}
        body = urlencode({"form_token": token.token, "next": "/app", **values})
        return _request("POST", SIGN_IN_PATH, self.port, headers, body)

    def new_password_request(self, authorization: str, password: str, address: str) -> str:
        """Return a request to change a password that a proxy forwards from an IP address."""
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        body = json.dumps({"password": password})
        return _request("PATCH", USER_PATH, self.port, headers | _forwarded_for(address), body)


def basic(credentials: Credentials) -> str:
    """Return the Authorization value for an email address and a password."""
    user_pass = f"{credentials.email}:{credentials.password}"
    return "Basic " + base64.b64encode(user_pass.encode()).decode()


def bearers(tokens: Sequence[str]) -> list[str]:
    """Return the Authorization values for tokens."""
    return [f"Bearer {token}" for token in tokens]


def bare() -> AbstractContextManager[Target]:
    """Run the baseline: only Tornado."""
    return _baseline("bare")


def raw() -> AbstractContextManager[Target]:
    """Run the limit: only the parser and the event loop."""
    return _baseline("raw")


def bare_page(size: int) -> AbstractContextManager[Target]:
    """Run the baseline of a page: Tornado and a template that results in as many bytes."""
    return _baseline("bare_page", str(size))


@contextmanager
def _baseline(name: str, *arguments: str) -> Iterator[Target]:
    command = [sys.executable, "-m", f"bench.{name}", *arguments]
    with running(command, log=name, environment=clean_environment()) as process:
        yield Target(name, read_port(process, name), process.pid)


@contextmanager
def userauth(database_url: str, name: str = "userauth", **variables: str) -> Iterator[Target]:
    """Run the server with production settings."""
    environment = clean_environment() | {
        "APP_SETTINGS": "production",
        # wrk sends plain HTTP, like a proxy on the same machine.
        "USERAUTH_SERVER__REQUIRE_HTTPS": "false",
        # Pages are served only with this setting.
        "USERAUTH_SERVER__PUBLIC_URL": "https://auth.example.com",
        "DATABASE_URL": database_url,
        "SECRET_KEYS": SIGNING_KEY,
        "PORT": "0",
        # A thousand connections come from one IP address.
        "USERAUTH_LIMITS__NETWORK_CONNECTIONS": "0",
        "USERAUTH_PASSWORDS__BCRYPT_COST": str(BCRYPT_COST),
        **variables,
    }
    command = [sys.executable, "server.py"]
    with running(command, log=name, environment=environment) as process:
        yield Target(name, read_port(process, name), process.pid)


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that change what programs do."""
    environment = dict(os.environ)
    remove_unwanted(environment)
    return environment


def _forwarded_for(address: str | None) -> dict[str, str]:
    return {"X-Forwarded-For": address} if address else {}


def _request(method: str, path: str, port: int, headers: Mapping[str, str], body: str = "") -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join(lines) + "\r\n\r\n" + body
