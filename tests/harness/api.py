"""The API as tests call it: every response is checked for what all responses guarantee."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders

from tests.harness.configuration import ROOT
from tests.harness.openapi import check_answer
from transport.browsers import is_from_browser

PROBLEM_TYPES = frozenset(
    re.findall(
        r"^## ([a-z-]+)$",
        (ROOT / "docs" / "problems.md").read_text("utf-8"),
        re.MULTILINE,
    )
)
PASSWORD = "correct horse battery"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Answer:
    """A response whose invariants were checked."""

    status: int
    headers: HTTPHeaders
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def problem(self) -> str:
        """Return the name of the problem type."""
        return str(self.json["type"]).partition("#")[2]


def basic(user: str, password: str | None = None) -> str:
    """Return the Authorization value of HTTP Basic."""
    text = user if password is None else f"{user}:{password}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def bearer(token: str) -> str:
    return f"Bearer {token}"


class Api:
    """A client of one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = AsyncHTTPClient(force_instance=True, max_clients=200)

    def close(self) -> None:
        self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        authorization: str | None = None,
        json_body: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the response, after checking its invariants."""
        fields = dict(headers or {})
        if authorization is not None:
            fields["Authorization"] = authorization
        if json_body is not None:
            body = json.dumps(json_body).encode()
            fields.setdefault("Content-Type", "application/json")
        response = await self._client.fetch(
            HTTPRequest(
                self.url + path,
                method=method,
                headers=fields,
                body=body,
                allow_nonstandard_methods=True,
                follow_redirects=False,
                decompress_response=False,
                request_timeout=60,
            ),
            raise_error=False,
        )
        answer = Answer(response.code, response.headers, response.body)
        challenges = ["Basic", "Bearer"]
        if path.startswith("/api/token/"):
            challenges.remove("Bearer")
        elif path.startswith("/api/verify"):
            if is_from_browser(HTTPHeaders(fields)):
                challenges.remove("Basic")
        elif fields.get("Sec-Fetch-Mode", "navigate") != "navigate":
            challenges.remove("Basic")
        is_oauth = path.startswith("/api/token/") and answer.status in {400, 401, 413, 415, 422}
        assert is_oauth == (method != "HEAD" and answer.status >= 400 and "error" in answer.json)
        check_invariants(answer, method=method, challenges=challenges)
        check_answer(answer, method=method, target=path)
        return answer

    async def register(
        self, email: str = "susan@example.com", password: str = PASSWORD, **fields: object
    ) -> Answer:
        return await self.request(
            "POST",
            "/api/user/register",
            json_body={"email": email, "password": password, **fields},
        )

    async def log_in(
        self, email: str = "susan@example.com", password: str = PASSWORD, *, ip: str | None = None
    ) -> Answer:
        """Log in, from an IP address that a trusted proxy reports or from that of this host."""
        return await self.request(
            "GET",
            "/api/user/login",
            authorization=basic(email, password),
            headers=None if ip is None else {"X-Forwarded-For": ip},
        )

    async def token(self, email: str = "susan@example.com", password: str = PASSWORD) -> str:
        """Log in and return the token."""
        answer = await self.log_in(email, password)
        assert answer.status == 200, answer
        return str(answer.json["token"])

    async def registered_token(self, email: str = "susan@example.com") -> str:
        """Register, log in, and return the token."""
        answer = await self.register(email)
        assert answer.status == 201, answer
        return await self.token(email)


def check_invariants(
    answer: Answer, *, method: str, challenges: Sequence[str] = ("Basic", "Bearer")
) -> None:
    """Assert what the contract requires of every response."""
    headers = answer.headers
    assert _REQUEST_ID.fullmatch(headers["X-Request-ID"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    # Only the public documents may be cached.
    assert headers["Cache-Control"] == ("no-cache" if "Etag" in headers else "no-store")
    assert "Server" not in headers
    if answer.status in {204, 303, 304}:
        assert not answer.content
        return
    is_document = "Content-Security-Policy" in headers
    assert is_document or headers.get("Content-Type") == _media_type(answer)
    if method == "HEAD":
        assert not answer.content
    elif answer.status >= 400:
        check_problem(answer)
    if answer.status in {429, 503}:
        assert headers["Retry-After"].isdecimal()
    if answer.status == 405:
        assert "OPTIONS" in headers["Allow"]
    if answer.status == 401:
        sent = headers.get_list("WWW-Authenticate")
        assert [challenge.split()[0] for challenge in sent] == list(challenges)
        assert "Basic" not in challenges or 'charset="UTF-8"' in sent[0]


def check_problem(answer: Answer) -> None:
    """Assert that the body is a problem document, of a documented type."""
    document = answer.json
    required = {"type", "title", "status", "detail", "request_id"}
    assert set(document) - {"error"} in (required, required | {"errors"})
    assert document["type"] == f"/docs/problems.md#{answer.problem}"
    assert answer.problem in PROBLEM_TYPES
    assert document["status"] == answer.status
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert document["detail"].endswith(".")
    assert ("errors" in document) == (answer.status == 422)
    for error in document.get("errors", []):
        assert set(error) - {"code"} == {"field", "message"}


def _media_type(answer: Answer) -> str | None:
    if "X-Auth-User-Id" in answer.headers:
        # What a proxy needs is in the header alone.
        assert not answer.content
        return None
    kind = "problem+json" if answer.status >= 400 else "json"
    return f"application/{kind}; charset=UTF-8"


def rejected_fields(answer: Answer) -> list[str]:
    """Return the fields in the errors of a 422."""
    assert answer.status == 422, answer
    return [error["field"] for error in answer.json["errors"]]
