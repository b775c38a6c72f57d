"""What Schemathesis cannot learn from the OpenAPI document: credentials and rules.

Schemathesis loads this module in its own process: see tests.system.test_schemathesis.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from schemathesis import AuthContext, Case, HookContext
from schemathesis.core import NotSet

from rules.emails import normalize_email
from rules.text_bounds import MAX_CODE_POINTS
from tests.harness.api import PASSWORD, basic, bearer

URL = os.environ["USERAUTH_URL"]
CLIENT = basic(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
_numbers = itertools.count()


def is_email(text: str) -> bool:
    """Return whether a text is an email address by the rule of the server."""
    try:
        return bool(normalize_email(text))
    except ValueError:
        return False


schemathesis.openapi.format("idn-email", strategies.emails().filter(is_email))


@dataclass(frozen=True)
class Person:
    """A user, with both kinds of credentials."""

    email: str
    password: str
    token: str

    def is_known(self) -> bool:
        """Return whether the server accepts both: a call may have invalidated them."""
        return all(
            requests.get(f"{URL}/api/user", headers={"Authorization": form}, timeout=10).ok
            for form in (self.password, bearer(self.token))
        )


def new_person() -> Person:
    """Register, and log in."""
    email = f"user-{os.getpid()}-{next(_numbers)}@example.com"
    fields = {"email": email, "password": PASSWORD}
    requests.post(f"{URL}/api/user/register", json=fields, timeout=10).raise_for_status()
    password = basic(email, PASSWORD)
    answer = requests.get(f"{URL}/api/user/login", headers={"Authorization": password}, timeout=10)
    answer.raise_for_status()
    return Person(email, password, answer.json()["token"])


@schemathesis.auth(refresh_interval=None)
class Credentials:
    """Valid credentials of each kind in turn."""

    def __init__(self) -> None:
        self._person: Person | None = None

    def get(self, case: Case[Any], context: AuthContext) -> str | None:
        """Return an Authorization value of a scheme that the operation accepts."""
        security = context.operation.definition.raw.get("security", [])
        # The session of a browser is a cookie, which no login of the API returns.
        schemes = [name for requirement in security for name in requirement if name != "session"]
        has_own = {} in security and not isinstance(case.body, NotSet)
        if not schemes or has_own:
            return None
        if context.operation.method == "patch":
            # A new user: the call may change the password, which others still use.
            return self._form(new_person(), schemes)
        if self._person is None or not self._person.is_known():
            self._person = new_person()
        return self._form(self._person, schemes)

    def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
        """Set the header."""
        case.headers["Authorization"] = data

    def _form(self, person: Person, schemes: Sequence[str]) -> str:
        forms = {
            "password": person.password,
            "token": bearer(person.token),
            "tokenAsUserName": basic(person.token, "anything"),
            "client": CLIENT,
        }
        return forms[schemes[next(_numbers) % len(schemes)]]


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, object]) -> None:
    """Replace a current password, and a login, with real ones, which no schema contains."""
    if isinstance(case.body, dict) and isinstance(case.body.get("current_password"), str):
        case.body["current_password"] = PASSWORD
    if case.path == "/api/user/login" and _is_login(case.body):
        case.body = {"email": new_person().email, "password": PASSWORD}


def _is_login(body: object) -> bool:
    """Return whether a body conforms to the schema of a login."""
    return (
        isinstance(body, dict)
        and set(body) == {"email", "password"}
        and all(isinstance(text, str) and len(text) <= MAX_CODE_POINTS for text in body.values())
    )
