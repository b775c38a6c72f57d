"""The server that the bench measures starts and returns what its figures assume."""

import asyncio
import re
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from bench.dataset import Credentials
from bench.groups import reads
from bench.groups.pages import open_page
from bench.load.nginx import site
from bench.load.wrk import Load
from bench.report import verdict
from bench.results import Baseline, Comparison, Figure, Goal, series
from bench.targets import bare_page, basic, userauth
from tests.harness.api import PASSWORD
from tests.harness.http_connection import Connection, Response


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the logs out of the checkout."""
    monkeypatch.setattr("bench.processes.LOGS", tmp_path)


def test_the_measured_server_accepts_the_requests_of_the_bench(dsn: str) -> None:
    credentials = Credentials(email="susan@example.com", password=PASSWORD)
    with userauth(dsn, "test") as target, httpx.Client(timeout=60) as client:
        url = target.user_url
        account = {"email": credentials.email, "password": credentials.password}
        assert client.post(f"{url}/register", json=account).status_code == 201
        login = client.get(f"{url}/login", headers={"Authorization": basic(credentials)})
        assert login.status_code == 200
        token = {"Authorization": f"Bearer {login.json()['token']}"}
        assert client.get(url, headers=token).json()["email"] == credentials.email


def test_the_measured_form_signs_in_and_its_baseline_has_the_same_size(dsn: str) -> None:
    credentials = Credentials(email="susan@example.com", password=PASSWORD)
    with userauth(dsn, "test") as target:
        account = {"email": credentials.email, "password": credentials.password}
        httpx.post(f"{target.user_url}/register", json=account, timeout=60).raise_for_status()
        size, token = open_page(target)
        with bare_page(size) as baseline:
            assert open_page(baseline)[0] == size
        request = target.sign_in_request(credentials, token)
        answer = asyncio.run(answer_to(target.port, request))
        assert answer.status == 200
        assert b'href="/app"' in answer.body


async def answer_to(port: int, request: str) -> Response:
    with closing(Connection(port)) as connection:
        return await connection.request(request.encode())


@pytest.mark.parametrize("ports", [(9001,), (9001, 9002)])
def test_the_measured_nginx_has_an_upstream_for_each_process(ports: tuple[int, ...]) -> None:
    text = site(9000, ports)
    assert "listen 127.0.0.1:9000;" in text
    upstream = text.partition("upstream userauth {")[2].partition("}")[0]
    assert re.findall(r"server 127\.0\.0\.1:(\d+)", upstream) == [str(port) for port in ports]


@pytest.mark.parametrize(
    ("acknowledged", "expected"),
    [(1.4, ["met", "", "met"]), (1.5, ["met", "", "missed by 0.10 ms"])],
)
def test_an_acknowledged_read_may_take_a_millisecond_longer(
    acknowledged: float, expected: list[str]
) -> None:
    pair = load_with_p50(0.4), load_with_p50(acknowledged)
    assert [verdict(each) for each in reads.figures({1: [pair], 128: [pair]})] == expected


def load_with_p50(milliseconds: float) -> Load:
    return Load(1000, 1.0, milliseconds, 2.0, 3.0, 4.0, 5.0, {})


@pytest.mark.parametrize(
    ("values", "every_round", "expected"),
    [
        ((98, 96, 99), False, "met"),
        ((96, 96, 99), False, "missed by 0.01"),
        ((98, 96, 99), True, "missed by 0.01"),
    ],
)
def test_a_goal_applies_to_the_median_ratio_or_to_every_round(
    values: tuple[float, ...], *, every_round: bool, expected: str
) -> None:
    goal = Goal(Comparison.AT_LEAST, 0.97, "of the baseline", every_round=every_round)
    baseline = Baseline("without", series([100, 100, 100]))
    assert verdict(Figure("throughput", series(values), "requests/s", baseline, goal)) == expected
