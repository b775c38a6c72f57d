"""The server under systemd: units, sockets and notifications; the installation."""

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.configuration import KEY, ROOT
from tests.harness.processes import environment, free_port, running_server, wait_for_listener
from tests.harness.programs import get_program

DEPLOY = ROOT / "deploy"
# The one that the environment of the tests was created with.
PYTHON = Path(sys.base_prefix) / "bin/python3"
SERVICE, BACKUP = DEPLOY / "userauth.service", DEPLOY / "userauth-backup.service"
UNITS = [SERVICE, DEPLOY / "userauth.socket", BACKUP, DEPLOY / "userauth-backup.timer"]
# What this process gets by systemd-socket-activate goes to one server after the other.
RESTARTING = 'while :; do (LISTEN_PID=$BASHPID exec "$0" "$1"); done'
RESTARTS = 2
# An installation downloads and unpacks all packages.
INSTALL_SECONDS = 500
pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 60)


class NotifySocket:
    """The receiving end of systemd's notification socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(20)
        self._socket.bind(address)

    def receive(self) -> dict[str, str]:
        """Return the assignments of the next message."""
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def receive_except_watchdog(self) -> dict[str, str]:
        while (message := self.receive()) == {"WATCHDOG": "1"}:
            pass
        return message

    def is_silent_for(self, *, seconds: float) -> bool:
        return not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def notified(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[NotifySocket, dict[str, str]]]:
    """Yield a notification socket and the variable that names it."""
    name = f"userauth-test-{os.getpid()}" if request.param == "abstract" else ""
    listener = NotifySocket(f"\0{name}" if name else str(tmp_path / "notify"))
    yield listener, {"NOTIFY_SOCKET": f"@{name}" if name else str(tmp_path / "notify")}
    listener.close()


def test_systemd_is_notified_of_each_step(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    variables |= {"DATABASE_URL": dsn, "USERAUTH_SERVER__DRAIN_SECONDS": "600"}
    with running_server(variables, tmp_path / "log") as server:
        assert systemd.receive() == {"READY": "1", "STATUS": server.greeting}
        server.signal(signal.SIGHUP)
        reloading = systemd.receive()
        assert (reloading["RELOADING"], set(reloading)) == ("1", {"RELOADING", "MONOTONIC_USEC"})
        assert reloading["MONOTONIC_USEC"].isdecimal()
        assert systemd.receive() == {"READY": "1", "STATUS": server.greeting}
        server.signal(signal.SIGTERM)
        stopping = systemd.receive()
        assert stopping["STOPPING"] == "1"
        assert re.fullmatch(r"userauth is stopping: \d+ requests are running", stopping["STATUS"])
        # Drain, two last writes and the last lines, the embedded Postgres and the wait for it,
        # and what else there is.
        assert stopping["EXTEND_TIMEOUT_USEC"] == str(
            round((0.1 + 600 + 2 + 2 + 2 + 150 + 60 + 10) * 1_000_000)
        )
        assert server.wait() == 0


def test_the_watchdog_is_notified_unless_the_loop_is_blocked(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n", "utf-8")
    keys.chmod(0o600)
    variables |= {
        "DATABASE_URL": dsn,
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "0.5",
        "SECRET_KEYS": "",
        "USERAUTH_TOKENS__KEYS_FILE": str(keys),
        "WATCHDOG_USEC": "300000",
    }
    with running_server(variables, tmp_path / "log") as server:
        assert "READY" in systemd.receive()
        for _ in range(5):
            assert systemd.receive() == {"WATCHDOG": "1"}
        # Reading this FIFO blocks the loop until the test writes to it.
        keys.unlink()
        os.mkfifo(keys, 0o600)
        server.signal(signal.SIGHUP)
        assert "RELOADING" in systemd.receive_except_watchdog()
        assert systemd.is_silent_for(seconds=1.0)
        keys.write_text(f"{KEY}\n", "utf-8")
        assert "READY" in systemd.receive()
        assert systemd.receive() == {"WATCHDOG": "1"}
        server.stop()
        assert "STOPPING" in systemd.receive_except_watchdog()
        # A notification now would restart the watchdog with no one to stop it.
        assert systemd.is_silent_for(seconds=0.1)


def test_a_watchdog_of_another_process_is_not_notified(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    variables |= {"DATABASE_URL": dsn, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running_server(variables, tmp_path / "log") as server:
        assert "READY" in systemd.receive()
        server.stop()
        assert "STOPPING" in systemd.receive()


def test_a_missing_notify_socket_is_ignored(dsn: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": dsn, "NOTIFY_SOCKET": str(tmp_path / "missing")}
    with running_server(variables, tmp_path / "log") as server:
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("closed", "LISTEN_FDS: 3 is not a socket"),
        ("file", "LISTEN_FDS: 3 is not a socket"),
        ("datagram", "LISTEN_FDS: 3 is not a listening stream socket"),
        ("unix", "LISTEN_FDS: 3 is not a TCP socket"),
        ("text", "LISTEN_FDS is not a number"),
        ("digits", "LISTEN_FDS is not a number"),
    ],
)
def test_an_invalid_listening_socket_stops_the_start(dsn: str, kind: str, message: str) -> None:
    redirection = {"closed": "3<&-", "file": "3</dev/null"}.get(kind, "3<&0")
    number = {"text": "three", "digits": "9" * 5000}.get(kind, "1")
    with (
        socket.socket(socket.AF_UNIX)
        if kind == "unix"
        else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ) as given:
        if kind == "unix":
            given.bind(f"\0userauth-test-unix-{os.getpid()}")
            given.listen()
        ended = subprocess.run(
            ["/bin/bash", "-c", f'LISTEN_PID=$$ exec "$0" "$1" {redirection}', *command()],
            env=environment(DATABASE_URL=dsn, LISTEN_FDS=number),
            stdin=given.fileno(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert message in line


def command() -> list[str]:
    return [sys.executable, str(ROOT / "server.py")]


def children_of(process: "subprocess.Popen[bytes]") -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
    return [int(number) for number in listed.split()]


@pytest.mark.needs("systemd-socket-activate")
@pytest.mark.parametrize("kept_alive", [True, False])
def test_a_restart_under_load_fails_no_request(dsn: str, *, kept_alive: bool) -> None:
    port = free_port()
    # An idle connection is closed after this time: no client of a slow machine may be so slow.
    variables = environment(
        DATABASE_URL=dsn,
        USERAUTH_SERVER__DRAIN_DELAY_SECONDS="1",
        # The logins of fast clients must not revoke the token of a slow one.
        USERAUTH_TOKENS__MAX_PER_USER="10000",
    )
    process = subprocess.Popen(
        [
            *(get_program("systemd-socket-activate"), "-l", f"127.0.0.1:{port}"),
            *(f"--setenv={name}={value}" for name, value in variables.items()),
            *("/bin/bash", "-c", RESTARTING, *command()),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_listener(process, port)
        ended = asyncio.run(_restarts_under_load(process, port, kept_alive=kept_alive))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    statuses, restarts = ended
    assert restarts == RESTARTS
    assert set(statuses) == {200}
    assert len(statuses) > 100


async def _restarts_under_load(
    process: "subprocess.Popen[bytes]", port: int, *, kept_alive: bool
) -> tuple[list[int], int]:
    """Send requests while servers restart; return the responses and the number of restarts."""
    statuses: list[int] = []
    is_over = asyncio.Event()
    limits = httpx.Limits() if kept_alive else httpx.Limits(max_keepalive_connections=0)
    account = ("susan@example.com", PASSWORD)

    async def ask(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            login = await client.get("/api/user/login", auth=account)
            statuses.append(login.status_code)
            for path in ("/api/user", "/health/live", "/api/user"):
                answer = await client.get(path, auth=(login.json()["token"], ""))
                statuses.append(answer.status_code)

    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30
    ) as client:
        registration = {"email": account[0], "password": account[1]}
        await client.post("/api/user/register", json=registration)  # which starts the first
        asking = [asyncio.ensure_future(ask(client)) for _ in range(20)]
        restarts = 0
        for _ in range(RESTARTS):
            (server,) = children_of(process)
            os.kill(server, signal.SIGTERM)
            while children_of(process) in ([], [server]):
                await asyncio.sleep(0.02)
            restarts += 1
            # Wait until the next one has responded.
            seen = len(statuses)
            while len(statuses) < seen + 100:
                await asyncio.sleep(0.02)
        is_over.set()
        await asyncio.gather(*asking)
    return statuses, restarts


# The units


def as_it_would_be_here(folder: Path) -> list[str]:
    """Copy the units, with the paths of this checkout."""
    copies = []
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/userauth/.venv/bin/python", sys.executable)
        copy = folder / unit.name
        copy.write_text(text.replace("/opt/userauth", str(ROOT)), encoding="utf-8")
        copies.append(str(copy))
    return copies


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    ended = subprocess.run(
        [get_program("systemd-analyze"), "verify", "--man=no", *as_it_would_be_here(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(("unit", "most"), [(SERVICE, 2.0), (BACKUP, 2.5)])
def test_a_service_has_a_low_exposure_level(unit: Path, most: float) -> None:
    ended = subprocess.run(
        [get_program("systemd-analyze"), "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    level = re.search(rf"Overall exposure level for {unit.name}: ([0-9.]+)", ended.stdout)
    assert level is not None
    assert float(level[1]) <= most


def switches_of(unit: Path) -> set[str]:
    _, _, section = unit.read_text("utf-8").partition("[Service]\n")
    section, _, _ = section.partition("[Install]")
    return {line for line in section.splitlines() if line and not line.startswith("#")}


def test_the_backup_has_the_restrictions_of_the_server() -> None:
    _, _, barriers = SERVICE.read_text("utf-8").partition("# The restrictions below")
    barriers, _, _ = barriers.partition("[Install]")
    wanted = {line for line in barriers.splitlines()[1:] if "=" in line and line[0] != "#"}
    # These would hide a Postgres that the other unit has started.
    wanted -= {"PrivateUsers=yes", "ProtectProc=invisible"}
    assert len(wanted) > 20
    assert wanted <= switches_of(BACKUP)
    assert "ReadWritePaths=/var/lib/userauth /var/backups/userauth" in switches_of(BACKUP)


def test_the_backup_gets_only_the_secret_that_it_needs() -> None:
    handed = {line for line in switches_of(BACKUP) if line.startswith("LoadCredential=")}
    assert handed == {"LoadCredential=DATABASE_URL:/etc/userauth/credentials/DATABASE_URL"}


@pytest.mark.parametrize("unit", [SERVICE, BACKUP])
def test_a_service_limits_memory_and_tasks_and_writes_no_core_dump(unit: Path) -> None:
    names = {line.partition("=")[0] for line in switches_of(unit)}
    assert names >= {"MemoryMax", "TasksMax", "LimitCORE"}


def test_systemd_never_interrupts_a_migration() -> None:
    assert "TimeoutStartSec=infinity" in switches_of(SERVICE)


def test_each_directive_of_the_service_has_a_comment() -> None:
    _, _, section = SERVICE.read_text("utf-8").partition("[Service]\n")
    section, _, _ = section.partition("[Install]")
    before, switches = "", 0
    for line in section.splitlines():
        if line and not line.startswith("#"):
            is_more_of_the_same = before.startswith(line.partition("=")[0].removesuffix("File"))
            assert before.startswith("#") or is_more_of_the_same, line
            switches += 1
        before = line
    assert switches > 40


# The installation


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install into a directory that stands for a machine."""
    root = tmp_path_factory.mktemp("machine")
    lend_packages(root / "opt/userauth")
    install(root)
    return root


def lend_packages(program: Path) -> None:
    """Create an environment that the installation reuses, with the packages of the tests.

    Downloading and unpacking them takes half a minute, and is tested with those that take long.
    """
    subprocess.run(
        [PYTHON, "-m", "venv", "--copies", "--without-pip", program / ".venv"], check=True
    )
    paths = {key: str(program / ".venv") for key in ("base", "platbase")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (packages / "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    version = subprocess.run([PYTHON, "-VV"], check=True, capture_output=True, text=True).stdout
    inputs = version + (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (program / ".made-of").write_text(inputs, encoding="utf-8")


def install(root: Path, *arguments: str, systemctl: Path | None = None) -> str:
    ended = run_installation(root, *arguments, systemctl=systemctl)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_installation(
    root: Path, *arguments: str, systemctl: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/bash", str(DEPLOY / "install.sh"), *arguments],
        env={
            **os.environ,
            "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
            "DESTDIR": str(root),
            "SYSTEMCTL": str(systemctl or ""),
            # "0" sets --no-compile: pip inverts the value of a negative option.
            "PIP_NO_COMPILE": "0",
        },
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )


def mark(root: Path) -> Path:
    """Create a marker file in the installed version; a new version has none."""
    marker = root / "opt/userauth/marker"
    marker.write_text("", encoding="utf-8")
    return marker


@pytest.fixture
def called(tmp_path: Path) -> Path:
    """Return the file in which the fake systemctl records its calls."""
    return tmp_path / "called"


@pytest.fixture
def systemctl(tmp_path: Path, called: Path) -> Callable[[str], Path]:
    """Return a function that creates a fake systemctl which runs shell commands."""

    def make(commands: str) -> Path:
        file = tmp_path / "systemctl"
        file.write_text(f'#!/bin/sh\necho "$@" >>{called}\n{commands}\n', encoding="utf-8")
        file.chmod(0o755)
        return file

    return make


def secrets_of(root: Path) -> dict[str, str]:
    folder = root / "etc/userauth/credentials"
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def test_an_installation_is_complete_and_protects_its_secrets(installed: Path) -> None:
    program = installed / "opt/userauth"
    secrets = secrets_of(installed)
    assert not (program / ".git").exists()
    assert set(secrets) == {"DATABASE_URL", "SECRET_KEYS", "PASSWORD_PEPPER"}
    assert secrets["DATABASE_URL"] == "embedded\n"
    assert len(secrets["SECRET_KEYS"].strip()) >= 32
    credentials = installed / "etc/userauth/credentials"
    assert credentials.stat().st_mode & 0o777 == 0o700
    for file in credentials.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(
        [program / ".venv/bin/python", program / "server.py", "--check"],
        env={
            "APP_SETTINGS": "production",
            "CREDENTIALS_DIRECTORY": str(installed / "etc/userauth/credentials"),
            "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "The settings are valid (production).\n")
    for unit in UNITS:
        assert (installed / "etc/systemd/system" / unit.name).read_bytes() == unit.read_bytes()


def python_of(root: Path) -> Path:
    return root / "opt/userauth/.venv/bin/python"


def test_installing_again_changes_no_setting_and_no_secret(installed: Path) -> None:
    settings = installed / "etc/userauth/environment"
    settings.write_text("HOST=127.0.0.2\nUSERAUTH_SERVER__TRUSTED_PROXIES=::1\n", "utf-8")
    before = secrets_of(installed)
    python = python_of(installed).stat().st_ino
    marker = mark(installed)
    # The modes that an earlier version used.
    credentials = installed / "etc/userauth/credentials"
    for path, mode in ((credentials, 0o750), (credentials / "SECRET_KEYS", 0o640)):
        path.chmod(mode)
    install(installed)
    assert credentials.stat().st_mode & 0o777 == 0o700
    assert (credentials / "SECRET_KEYS").stat().st_mode & 0o777 == 0o600
    assert secrets_of(installed) == before
    assert settings.read_text("utf-8").startswith("HOST=127.0.0.2\n")
    assert not marker.exists()
    # The packages are reused.
    assert python_of(installed).stat().st_ino == python


@pytest.mark.long
def test_broken_packages_are_installed_again(installed: Path) -> None:
    python_of(installed).unlink()
    install(installed)
    subprocess.run([python_of(installed), "-c", "import tornado, aiopg"], check=True)


def test_a_version_that_rejects_the_settings_leaves_the_old_one_in_place(installed: Path) -> None:
    settings = installed / "etc/userauth/environment"
    good = settings.read_text("utf-8")
    marker = mark(installed)
    settings.write_text(f"{good}PORT=many\n", "utf-8")
    ended = run_installation(installed)
    settings.write_text(good, "utf-8")
    assert ended.returncode == 1
    assert "server.port" in ended.stderr
    assert "the old version is still in place" in ended.stderr
    assert marker.exists()
    assert list((installed / "opt").iterdir()) == [installed / "opt/userauth"]


# The fake systemctl starts the service only if the marker of the old version exists.
CHOOSY = '[ "$1" != {failing} ] || [ -e {root}/opt/userauth/marker ]'


@pytest.mark.parametrize(
    "failing",
    [
        *("daemon-reload", "restart"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("start", "--quiet")),
    ],
)
def test_a_version_that_does_not_start_is_replaced_by_the_old_one(
    installed: Path, systemctl: Callable[[str], Path], called: Path, failing: str
) -> None:
    unit = installed / "etc/systemd/system/userauth.service"
    shipped = unit.read_bytes()
    old = installed / "opt/userauth/deploy/userauth.service"
    old.write_bytes(shipped + b"# of the old version\n")
    # A unit that the old version did not have.
    (installed / "opt/userauth/deploy/userauth-backup.timer").unlink()
    marker = mark(installed)
    fake = systemctl(CHOOSY.format(failing=failing, root=installed))
    ended = run_installation(installed, systemctl=fake)
    assert ended.returncode == 1
    assert "the old version is running again" in ended.stderr
    assert marker.exists()
    assert unit.read_bytes() == old.read_bytes() != shipped
    assert not unit.with_name("userauth-backup.timer").exists()
    assert list((installed / "opt").iterdir()) == [installed / "opt/userauth"]
    assert called.read_text("utf-8").splitlines()[-2:] == [
        "daemon-reload",
        "restart userauth.service",
    ]
    install(installed)


def test_after_a_killed_installation_the_version_that_is_known_to_start_is_kept(
    installed: Path, systemctl: Callable[[str], Path]
) -> None:
    marker = mark(installed)
    killing = systemctl('[ "$1" != restart ] || kill -9 $PPID')
    assert run_installation(installed, systemctl=killing).returncode != 0
    assert not marker.exists()
    choosy = systemctl(CHOOSY.format(failing="restart", root=installed))
    ended = run_installation(installed, systemctl=choosy)
    assert "the old version is running again" in ended.stderr
    assert marker.exists()


def test_two_installations_cannot_run_at_the_same_time(
    installed: Path, systemctl: Callable[[str], Path], tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waiting = systemctl(f'[ "$1" != restart ] || read -r _ <{fifo}')
    with ThreadPoolExecutor() as threads:
        first = threads.submit(install, installed, systemctl=waiting)
        with fifo.open("w", encoding="utf-8") as fifo_end:  # blocks until the first one restarts
            second = run_installation(installed)
            fifo_end.write("continue\n")
        first.result()
    assert (second.returncode, second.stderr) == (1, "userauth: another installation is running\n")


def test_an_installation_without_a_start_does_not_call_systemctl(
    installed: Path, systemctl: Callable[[str], Path], called: Path
) -> None:
    assert "not started" in install(installed, "--no-start", systemctl=systemctl("false"))
    assert not called.exists()
    assert list((installed / "opt").iterdir()) == [installed / "opt/userauth"]


def test_commands_get_the_settings_as_systemd_parses_them_and_not_those_of_the_caller(
    installed: Path,
) -> None:
    settings = installed / "etc/userauth/environment"
    good = settings.read_text("utf-8")
    settings.write_text(
        "# HOST=comment\n  USERAUTH_METRICS__HOST = 'one two' \nUSERAUTH_LOGGING__FORMAT=\"json\"\n"
        "USERAUTH_DOCS__ENABLED=true  \nno variable\n=nothing\nDATABASE_URL=a=b\n"
        "$(touch /tmp/x)=1\nPORT=$HOME `id`",
        "utf-8",
    )
    ended = subprocess.run(
        [sys.executable, "-I", str(DEPLOY / "as_the_service.py"), "env"],
        env={
            "DESTDIR": str(installed),
            "PATH": "/nowhere",
            "PGPASSWORD": "x",
            "TERM": "dumb",
            "SUDO_USER": "susan",
            "SUDO_UID": "1000",
            "SUDO_COMMAND": "x",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    settings.write_text(good, "utf-8")
    assert dict(line.split("=", 1) for line in ended.stdout.splitlines()) == {
        "TERM": "dumb",
        "SUDO_USER": "susan",
        "SUDO_UID": "1000",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": f"{installed}/var/lib/userauth",
        "PYTHONDONTWRITEBYTECODE": "1",
        "APP_SETTINGS": "production",
        "USERAUTH_DATABASE__EMBEDDED_DIR": f"{installed}/var/lib/userauth/postgres",
        "CREDENTIALS_DIRECTORY": f"{installed}/etc/userauth/credentials",
        "USERAUTH_METRICS__HOST": "one two",
        "USERAUTH_LOGGING__FORMAT": "json",
        "USERAUTH_DOCS__ENABLED": "true",
        "DATABASE_URL": "a=b",
        "PORT": "$HOME `id`",
    }


@pytest.mark.parametrize("name", ["USERAUTH_DATABASE__EMBEDDED_DIR", "DATABASE_URL"])
def test_a_setting_in_the_shell_is_an_error(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-I", str(DEPLOY / "as_the_service.py"), "env"],
        env={"PATH": os.environ["PATH"], name: "elsewhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{name} is set in this shell" in ended.stderr


@pytest.fixture
def own_package(tmp_path: Path) -> Path:
    """Return the directory of a package of the administrator's."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_package.py").write_text("", encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "own-package"\nversion = "1"\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
        encoding="utf-8",
    )
    return folder


@pytest.mark.long
def test_packages_of_the_administrator_are_kept_and_cannot_replace_those_of_the_server(
    installed: Path, own_package: Path
) -> None:
    wanted = installed / "etc/userauth/requirements.txt"
    wanted.write_text(f"{own_package}\n", "utf-8")
    for _ in range(2):
        install(installed)
        subprocess.run([python_of(installed), "-c", "import own_package"], check=True)
    marker = mark(installed)
    wanted.write_text("tornado<6\n", "utf-8")
    ended = run_installation(installed)
    wanted.unlink()
    assert ended.returncode != 0
    assert "tornado" in ended.stderr
    assert marker.exists()


def test_an_installation_killed_while_switching_versions_is_repaired(installed: Path) -> None:
    program = installed / "opt/userauth"
    program.rename(installed / "opt/userauth.before")
    install(installed)
    assert python_of(installed).exists()
    assert list((installed / "opt").iterdir()) == [program]


def test_an_uninstallation_keeps_settings_and_secrets(installed: Path) -> None:
    before = secrets_of(installed)
    install(installed, "--uninstall")
    install(installed, "--uninstall")
    assert not (installed / "opt/userauth").exists()
    assert list((installed / "etc/systemd/system").iterdir()) == []
    assert secrets_of(installed) == before
