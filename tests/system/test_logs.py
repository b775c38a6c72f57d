"""The log of a server process, as programs read it."""

import asyncio
import base64
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.processes import ServerProcess, running_server, start
from tests.harness.raw_http import exchange
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def server(dsn: str, tmp_path: Path) -> Iterator[ServerProcess]:
    variables = {"DATABASE_URL": dsn, "USERAUTH_LOGGING__FORMAT": "auto"}
    with running_server(variables, tmp_path / "log") as running:
        yield running


def events(server: ServerProcess) -> list[dict[str, Any]]:
    """Stop the server, and return its log: lines of JSON when it is not a terminal."""
    assert server.stop() == 0
    return [json.loads(line) for line in server.written().splitlines()]


def test_each_request_is_one_event_with_its_timing(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        account = {"email": EMAIL, "password": PASSWORD}
        user_id = client.post("/api/user/register", json=account).json()["id"]
        token = client.get("/api/user/login", auth=(EMAIL, PASSWORD)).json()["token"]
        fields = {
            "Authorization": f"Bearer {token}",
            "X-Request-ID": "id-7",
            "traceparent": f"00-{TRACE}-{SPAN}-01",
        }
        client.get("/api/user?secret=1", headers=fields)
        client.delete(f"/api/user/tokens/{token.partition('.')[0]}", headers=fields)
        client.get("/nowhere")
    # On a busy machine, the log also has events about a blocked event loop.
    requests = [event for event in events(server) if event["event"] == "request"]
    register, login, get, delete, nowhere = requests
    assert (get["route"], get["status"]) == ("/api/user", 422)
    assert get["client_request_id"] == delete["client_request_id"] == "id-7"
    assert get["request_id"] != delete["request_id"]
    assert (get["trace_id"], get["parent_id"]) == (TRACE, SPAN)
    assert (delete["route"], delete["method"]) == ("/api/user/tokens/{id}", "DELETE")
    assert [event["user_id"] for event in (login, get, delete, nowhere)] == [user_id] * 3 + [None]
    for event in (register, login):
        assert event["hashing_milliseconds"] > 0
    for event in (register, login, get, delete):
        assert 0 < event["database_milliseconds"] < event["milliseconds"]
    assert get["hashing_milliseconds"] == 0
    assert (nowhere["route"], nowhere["database_milliseconds"]) == ("unknown", 0)
    assert not {"trace_id", "client_request_id", "ip", "path"} & set(nowhere)
    assert "secret" not in json.dumps(get)


def test_an_internal_error_is_an_event_with_its_traceback(server: ServerProcess, dsn: str) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        client.post("/api/user/register", json={"email": EMAIL, "password": PASSWORD})
        run_sql(dsn, "UPDATE users SET password_hash = 'plain-hunter2'")
        answer = client.get("/api/user/login", auth=(EMAIL, PASSWORD))
        assert answer.status_code == 500
    [failure] = [event for event in events(server) if event["level"] == "error"]
    assert failure["event"] == "request failed"
    assert (failure["method"], failure["route"]) == ("GET", "/api/user/login")
    assert failure["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" in failure["exception"]
    assert failure["time"].endswith("Z")
    assert "hunter2" not in json.dumps(failure)


def in_encodings(secret: str) -> Iterator[str]:
    """Return a secret in the encodings that it may have in a request."""
    escaped = "".join(f"%{byte:02x}" for byte in secret.encode())
    yield from (secret, quote(secret, safe=""), escaped, escaped.replace("%", "%25"))
    yield secret.replace(".", "%2E").replace("-", "%2D")
    yield secret.replace(".", "/").replace("@", "/@/")
    yield secret.replace(".", "%252e")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield base64.urlsafe_b64encode(b"xy" + secret.encode()).decode().rstrip("=")
    yield secret.encode().hex()
    yield secret[::-1]


def requests_with(encoded: str, host: str) -> Iterator[str]:
    """Return the first lines of requests with a secret in the wrong place."""
    for path in (
        f"/{encoded}",
        f"/api/user/{encoded}",
        f"/api/user/tokens/{encoded}",
        f"/api/user/{encoded}/password",
        f"//{encoded}//",
        f"/api/user?token={encoded}",
        f"/api/user#{encoded}",
        f"/api/user;{encoded}",
        f"/%ff{encoded}",
        f"http://{host}/{encoded}",
        f"http://{encoded}:{encoded}@{host}/api/user",
        f"http://{encoded}/api/user",
        f"{encoded}",
        f"*{encoded}",
    ):
        yield f"GET {path} HTTP/1.1"
    name = "".join(each for each in encoded if each.isalnum() or each in "-._%")
    yield f"{name} /api/user HTTP/1.1"
    yield f"GET /api/user HTTP/1.1\r\n{name}: x"
    yield f"GET /api/user HTTP/1.1\r\ntraceparent: 00-{encoded}-{encoded}-01"
    yield f"GET /api/user HTTP/1.1\r\nX-Forwarded-For: {encoded}"
    yield f"GET /api/user HTTP/1.1\r\nAuthorization: Basic {encoded}"


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_in_a_request_are_not_logged_in_any_encoding(
    dsn: str, tmp_path: Path, form: str
) -> None:
    async def use(url: str) -> tuple[list[str], int]:
        api = Api(url)
        secrets = [await api.registered_token(EMAIL), EMAIL, PASSWORD.replace(" ", "")]
        encodings = [each for secret in secrets for each in in_encodings(secret)]
        host = url.partition("//")[2]
        sent = 0
        for encoded in encodings:
            for line in requests_with(encoded, host):
                request = f"{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                await exchange(api, request.encode())
                sent += 1
        api.close()
        parts = [part for secret in secrets for part in secret.replace("@", ".").split(".")]
        whole = [*encodings, *(each for part in parts for each in in_encodings(part))]
        # A short one in hexadecimal digits may occur in a random request ID.
        is_random = re.compile("[0-9a-f]{,7}", re.IGNORECASE).fullmatch
        return [text for text in whole if len(text) >= 6 and not is_random(text)], sent

    variables = {"DATABASE_URL": dsn, "USERAUTH_LOGGING__FORMAT": form}
    with running_server(variables, tmp_path / "log") as server:
        encodings, sent = asyncio.run(use(server.url))
        assert server.stop() == 0
        assert server.process.stdout is not None
        written = (server.written() + server.process.stdout.read()).lower()
    assert written.count("\n") > sent / 2
    assert {text for text in encodings if text.lower() in written} == set()
    assert max(map(len, written.splitlines())) < 1_000


def test_a_log_that_is_not_read_does_not_block_the_server(dsn: str) -> None:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(write_end, "w") as stream:
        process = start({"DATABASE_URL": dsn}, stream)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().partition("listens on ")[2].partition(",")[0]
        with httpx.Client(base_url=url, timeout=30) as client:
            for _ in range(100):
                assert client.get("/" + "%ff" * 1000).status_code in {400, 404}
            assert client.get("/health/live").status_code == 200
            account = {"email": EMAIL, "password": PASSWORD}
            assert client.post("/api/user/register", json=account).status_code == 201
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(read_end)
