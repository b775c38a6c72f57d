"""The samples in docs/services.md, each as a process, with a running server."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from tests.harness.api import Api, bearer
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, running_server, wait_for_listener
from tests.harness.programs import get_program

PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
SAMPLES = dict(re.findall(r"^## (\w+)$.*?^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_every_framework_has_a_sample() -> None:
    assert list(SAMPLES) == ["Tornado", "FastAPI", "Node"]


@contextmanager
def running_sample(name: str, folder: Path, **variables: str) -> Iterator[str]:
    """Run a sample; yield its URL."""
    program = get_program("node") if name == "Node" else sys.executable
    file = folder / ("sample.js" if name == "Node" else "sample.py")
    file.write_text(SAMPLES[name], encoding="utf-8")
    port = free_port()
    process = subprocess.Popen(
        [program, str(file)], env={**os.environ, "PORT": str(port), **variables}
    )
    try:
        wait_for_listener(process, port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    "name", ["Tornado", "FastAPI", pytest.param("Node", marks=pytest.mark.needs("node"))]
)
def test_a_sample_accepts_only_valid_tokens(name: str, dsn: str, tmp_path: Path) -> None:
    async def use(url: str, userauth: str) -> None:
        api, client = Api(userauth), AsyncHTTPClient(force_instance=True)
        token = await api.registered_token()
        user = (await api.request("GET", "/api/user", authorization=bearer(token))).json

        async def ask(authorization: str | None) -> tuple[int, bytes]:
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = await client.fetch(url, headers=headers, raise_error=False)
            return answer.code, answer.body or b""

        code, body = await ask(bearer(token))
        assert (code, json.loads(body)) == (200, {"id": user["id"], "hello": user["email"]})
        for invalid in (None, "Bearer", bearer("nonsense"), "Basic eDp5"):
            assert (await ask(invalid))[0] == 401
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
        assert answer.status == 204
        assert (await ask(bearer(token)))[0] == 401
        await asyncio.to_thread(manage, "clients", "remove", "sample", DATABASE_URL=dsn)
        # Any response but a valid introspection result: no request is accepted.
        assert (await ask(bearer(token)))[0] == 503
        api.close()

    made = json.loads(manage("clients", "add", "sample", "--json", DATABASE_URL=dsn).stdout)
    with (
        running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server,
        running_sample(
            name,
            tmp_path,
            USERAUTH_URL=server.url,
            CLIENT_ID=made["id"],
            CLIENT_SECRET=made["secret"],
        ) as url,
    ):
        asyncio.run(use(url, server.url))
