"""The container image: built from this checkout, and run as its user with a read-only root."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.harness.container import Image, build_image
from tests.harness.external_cluster import external_cluster
from tests.harness.processes import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs("buildah", "debootstrap", "git", "initdb", "openssl"),
    # The first use makes the tree of Debian.
    pytest.mark.timeout(900),
]
KEY = "u7Jq2xR9vLm4TzKp8WdYb3NcHs6GfAe1"
HTTPS = {"X-Forwarded-Proto": "https"}
HEALTH = [".venv/bin/python", "deploy/container_health.py"]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Its root must be readable by the user of the image, and is too large for pytest to keep.
    with TemporaryDirectory(prefix="userauth-container-") as folder:
        Path(folder).chmod(0o755)
        yield build_image(Path(folder))


def wait_until_live(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/health/live", timeout=30)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.1)
        else:
            return


def test_the_image_runs_as_a_user_that_is_not_root_with_a_health_check(image: Image) -> None:
    configuration = image.configuration
    assert configuration["User"] == "65532:65532"
    assert configuration["StopSignal"] == "SIGTERM"
    assert configuration["Healthcheck"]["Test"] == ["CMD", *HEALTH]
    program = image.root / "opt" / "userauth"
    assert {path.stat().st_uid for path in program.rglob("*")} == {0}


def test_the_image_has_no_secret_and_only_the_program(image: Image) -> None:
    names = {path.name for path in (image.root / "opt" / "userauth").iterdir()}
    assert not names & {".git", "var", "tests", "soak", "bench", "client"}
    assert list((image.root / "etc" / "userauth" / "credentials").iterdir()) == []
    assert not any("KEY" in variable for variable in image.configuration["Env"])
    assert not list(image.root.glob("opt/userauth/.venv/lib/*/site-packages/pixeltable*"))


def test_without_settings_the_container_names_what_is_missing(image: Image, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert image.run(image.configuration["Entrypoint"], log) == 2
    written = log.read_text("utf-8")
    assert "set DATABASE_URL" in written
    assert "set SECRET_KEYS" in written
    assert "Traceback" not in written


def test_the_server_serves_with_a_read_only_root_and_stops_after_sigterm(
    image: Image, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    # Postgres runs as a user that may not enter pytest's directories.
    with TemporaryDirectory() as folder, external_cluster(Path(folder)) as dsn:
        variables = {
            "DATABASE_URL": f"{dsn.partition('?')[0]}?sslmode=disable",
            "SECRET_KEYS": KEY,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
        }
        assert image.run(["touch", "/opt/userauth/file"], log) == 1
        assert image.run(HEALTH, log, PORT=str(port)) == 1
        with image.running(log, **variables) as process:
            wait_until_live(url, process, log)
            assert image.run(HEALTH, log, PORT=str(port)) == 0
            assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 200
            user = {"email": "susan@example.com", "name": "Susan", "password": "a long pässword"}
            registered = httpx.post(
                f"{url}/api/user/register", json=user, headers=HTTPS, timeout=30
            )
            assert registered.status_code == 201, registered.text
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text("utf-8")
