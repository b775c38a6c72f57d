"""The log of a server process, as programs read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api import PASSWORD
from tests.processes import ServerProcess, running_server
from tests.sql import run_sql

EMAIL = "susan@example.com"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def server(dsn: str, tmp_path: Path) -> Iterator[ServerProcess]:
    variables = {"DATABASE_URL": dsn, "USERAUTH_LOGGING__FORMAT": "auto"}
    with running_server(variables, tmp_path / "log") as running:
        yield running


def events(server: ServerProcess) -> list[dict[str, Any]]:
    """End the server, and return what it logged: not in a terminal, lines of JSON."""
    assert server.stop() == 0
    return [json.loads(line) for line in server.written().splitlines()]


def test_each_request_is_one_event_with_what_its_time_went_into(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as client:
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
    register, login, get, delete, nowhere = events(server)
    assert [event["event"] for event in (register, login, get, delete, nowhere)] == ["request"] * 5
    assert (get["route"], get["status"], get["request_id"]) == ("/api/user", 200, "id-7")
    assert (get["trace_id"], get["parent_id"]) == (TRACE, SPAN)
    assert (delete["route"], delete["method"]) == ("/api/user/tokens/{id}", "DELETE")
    assert [event["user_id"] for event in (login, get, delete, nowhere)] == [user_id] * 3 + [None]
    for event in (register, login):
        assert event["hashing_milliseconds"] > 0
    for event in (register, login, get, delete):
        assert 0 < event["database_milliseconds"] < event["milliseconds"]
    assert get["hashing_milliseconds"] == 0
    assert (nowhere["route"], nowhere["database_milliseconds"]) == ("unknown", 0)
    assert "trace_id" not in nowhere
    assert "secret" not in json.dumps(get)


def test_what_the_server_could_not_do_is_an_event_with_the_trace(
    server: ServerProcess, dsn: str
) -> None:
    with httpx.Client(base_url=server.url) as client:
        client.post("/api/user/register", json={"email": EMAIL, "password": PASSWORD})
        run_sql(dsn, "UPDATE users SET password_hash = 'plain-hunter2'")
        answer = client.get("/api/user/login", auth=(EMAIL, PASSWORD))
        assert answer.status_code == 500
    [failure] = [event for event in events(server) if event["level"] == "error"]
    assert failure["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" in failure["exception"]
    assert failure["time"].endswith("Z")
    assert "hunter2" not in json.dumps(failure)
