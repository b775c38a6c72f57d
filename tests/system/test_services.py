"""The samples in docs/check-tokens.md, each as a process, with one running server."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.harness.api import Api, bearer
from tests.harness.command_line import manage
from tests.harness.pages import blocks, page, section
from tests.harness.processes import ServerProcess, free_port, listening, running_server
from tests.harness.programs import NODE_MODULES, get_program

PAGE = section(page("docs/check-tokens.md"), "## Samples")
SAMPLES = {
    name: blocks(section(PAGE, f"### {name}"))[0][1]
    for name in re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
}
# More wrong secrets than userauth accepts for one id.
MAX_ATTEMPTS = 15
ON_NODE = {"Express", "Node"}


def test_every_framework_has_a_sample() -> None:
    assert list(SAMPLES) == ["FastAPI", "Flask", "Express", "Node"]


@pytest.fixture(scope="module")
def userauth(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run one server for all samples."""
    log = tmp_path_factory.mktemp("services") / "log"
    with running_server({"DATABASE_URL": postgres}, log) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Service:
    """A running sample: its URL, and the file of its log."""

    url: str
    log: Path


@contextmanager
def running_sample(name: str, folder: Path, **variables: str) -> Iterator[Service]:
    """Run a sample."""
    program = get_program("node") if name in ON_NODE else sys.executable
    file = folder / ("sample.js" if name in ON_NODE else "sample.py")
    file.write_text(SAMPLES[name], encoding="utf-8")
    port = free_port()
    log = folder / "sample.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [program, str(file)],
            env={"NODE_PATH": NODE_MODULES, **os.environ, "PORT": str(port), **variables},
            stdout=stream,
            stderr=stream,
        )
    with listening(process, port):
        yield Service(f"http://127.0.0.1:{port}/", log)


@pytest.mark.parametrize(
    "name",
    [
        "FastAPI",
        "Flask",
        pytest.param("Express", marks=pytest.mark.needs("node", "express")),
        pytest.param("Node", marks=pytest.mark.needs("node")),
    ],
)
def test_a_sample_accepts_only_valid_tokens_and_logs_why_it_cannot_check(
    userauth: ServerProcess, name: str, dsn: str, tmp_path: Path
) -> None:
    async def use(service: Service) -> None:
        api, client = Api(userauth.url), AsyncHTTPClient(force_instance=True)
        token = await api.registered_token()
        user = (await api.request("GET", "/api/user", authorization=bearer(token))).json

        async def ask(authorization: str | None) -> HTTPResponse:
            headers = {} if authorization is None else {"Authorization": authorization}
            return await client.fetch(service.url, headers=headers, raise_error=False)

        async def challenge(authorization: str | None) -> str | None:
            answer = await ask(authorization)
            assert answer.code == 401, authorization
            return answer.headers.get("WWW-Authenticate")

        async def retry_after(token: str) -> str | None:
            answer = await ask(bearer(token))
            assert answer.code == 503
            return answer.headers.get("Retry-After")

        accepted = await ask(bearer(token))
        assert accepted.code == 200
        assert json.loads(accepted.body) == {"id": user["id"], "hello": user["email"]}
        # Introspection returns 400 for the one of 4,097 characters, which no token has.
        for nothing in (None, "Bearer", "Bearer ", "Basic eDp5"):
            assert await challenge(nothing) == "Bearer"
        for invalid in ("nonsense", "x" * 4097, "a&token=b"):
            assert await challenge(bearer(invalid)) == 'Bearer error="invalid_token"'
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
        assert answer.status == 204
        assert await challenge(bearer(token)) == 'Bearer error="invalid_token"'
        await asyncio.to_thread(manage, "clients", "remove", "sample", DATABASE_URL=dsn)
        # Any other response than the result of an introspection: no request is accepted.
        assert (await ask(bearer(token))).code == 503
        waits = [wait for _ in range(MAX_ATTEMPTS) if (wait := await retry_after(token))]
        assert [number for number in waits if int(number) > 0]
        log = service.log.read_text(encoding="utf-8")
        assert re.search(r"userauth responds with 401, request [0-9a-f]{32}", log), log
        assert token not in log
        api.close()

    made = json.loads(manage("clients", "add", "sample", "--json", DATABASE_URL=dsn).stdout)
    variables = {
        "USERAUTH_URL": userauth.url,
        "CLIENT_ID": made["id"],
        "CLIENT_SECRET": made["secret"],
    }
    with running_sample(name, tmp_path, **variables) as service:
        asyncio.run(use(service))
