"""The installation: complete, repeatable, and undone where the new version does not start."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT
from tests.harness.environment_variables import for_downloads
from tests.harness.memory_directory import new_program_directory
from tests.harness.units import DEPLOY, UNITS

# The one that the environment of the tests was created with.
PYTHON = Path(sys.base_prefix) / "bin/python3"
# An installation downloads and unpacks all packages.
INSTALL_SECONDS = 500
pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 60)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """Install into a directory that stands for a machine."""
    with new_program_directory() as folder:
        root = Path(folder)
        lend_packages(root / "opt/userauth")
        install(root)
        yield root


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
            **for_downloads(),
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
    assert set(secrets) == {
        *("DATABASE_URL", "SECRET_KEYS", "PASSWORD_PEPPER", "USERAUTH_MAIL__URL"),
        "USERAUTH_DATABASE__DIRECT_URL",
    }
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
    original = settings.read_text("utf-8")
    settings.write_text("HOST=127.0.0.2\nUSERAUTH_SERVER__TRUSTED_PROXIES=::1\n", "utf-8")
    before = secrets_of(installed)
    python = python_of(installed).stat().st_ino
    marker = mark(installed)
    # The modes that an earlier version used.
    credentials = installed / "etc/userauth/credentials"
    for path, mode in ((credentials, 0o750), (credentials / "SECRET_KEYS", 0o640)):
        path.chmod(mode)
    try:
        install(installed)
        kept = settings.read_text("utf-8")
    finally:
        settings.write_text(original, "utf-8")
    assert kept.startswith("HOST=127.0.0.2\n")
    assert credentials.stat().st_mode & 0o777 == 0o700
    assert (credentials / "SECRET_KEYS").stat().st_mode & 0o777 == 0o600
    assert secrets_of(installed) == before
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
        "restart",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("daemon-reload", "start", "--quiet")
        ),
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
    (installed / "opt/userauth/deploy/userauth-backup.timer").unlink(missing_ok=True)
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.fixture
def external(installed: Path, postgres: str) -> Iterator[None]:
    """Let the settings name an external Postgres, and restore them after the test."""
    settings = installed / "etc/userauth/environment"
    url = installed / "etc/userauth/credentials/DATABASE_URL"
    before = settings.read_text("utf-8"), url.read_text("utf-8")
    url.write_text(postgres, "utf-8")
    yield
    settings.write_text(before[0], "utf-8")
    url.write_text(before[1], "utf-8")


FILES = {"credentials", "environment"}


def files_in(root: Path) -> set[str]:
    return {file.name for file in (root / "etc/userauth").iterdir()}


def edit(root: Path, line: str) -> str:
    """Append a line to the environment, as an administrator may between two runs; return all."""
    file = root / "etc/userauth/environment"
    text = f"{file.read_text('utf-8')}{line}\n"
    file.write_text(text, "utf-8")
    return text


def environment_of(root: Path) -> str:
    return (root / "etc/userauth/environment").read_text("utf-8")


def processes_in(root: Path) -> list[str]:
    lines = (root / "etc/userauth/environment").read_text("utf-8").splitlines()
    return [line for line in lines if "PROCESSES" in line]


TWO = [
    "daemon-reload",
    (
        "--quiet enable userauth@01.socket userauth@02.socket userauth@01.service"
        " userauth@02.service userauth-backup.timer"
    ),
    "start userauth@01.socket userauth@02.socket userauth-backup.timer",
    "restart userauth@01.service",
    "restart userauth@02.service",
]


@pytest.mark.usefixtures("external")
def test_several_processes_are_started_one_after_the_other_also_by_the_next_upgrade(
    installed: Path, systemctl: Callable[[str], Path], called: Path
) -> None:
    # The service at port 8000, which an earlier installation has enabled.
    link = installed / "etc/systemd/system/multi-user.target.wants/userauth.service"
    link.parent.mkdir()
    link.symlink_to("../userauth.service")
    for options in (["--processes", "2"], []):
        reported = install(installed, *options, systemctl=systemctl(""))
        assert "run: systemctl disable --now userauth.socket userauth.service\n" in reported
        assert called.read_text("utf-8").splitlines() == [*TWO, "restart userauth.service"]
        assert processes_in(installed) == ["USERAUTH_SERVER__PROCESSES=2"]
        called.unlink()
    link.unlink()
    link.parent.rmdir()
    install(installed, "--processes", "1", systemctl=systemctl(""))
    assert called.read_text("utf-8").splitlines()[-1] == "restart userauth.service"
    assert processes_in(installed) == ["USERAUTH_SERVER__PROCESSES=1"]
    assert files_in(installed) == FILES


@pytest.mark.usefixtures("external")
def test_processes_that_do_not_start_are_replaced_by_the_old_version_and_number(
    installed: Path, systemctl: Callable[[str], Path], called: Path
) -> None:
    marker = mark(installed)
    fake = systemctl('[ "$*" != "restart userauth@02.service" ]')
    ended = run_installation(installed, "--processes", "2", systemctl=fake)
    assert ended.returncode == 1
    assert "the old version is running again" in ended.stderr
    # The units of all processes.
    assert "journalctl -u 'userauth*'" in ended.stderr
    assert marker.exists()
    assert processes_in(installed) == []
    assert called.read_text("utf-8").splitlines()[len(TWO) :] == [
        "--quiet disable --now userauth@01.socket userauth@01.service",
        "--quiet disable --now userauth@02.socket userauth@02.service",
        "daemon-reload",
        "restart userauth.service",
    ]


@pytest.mark.usefixtures("external")
def test_a_number_of_processes_that_was_installed_without_a_start_stays_as_it_is_edited(
    installed: Path,
) -> None:
    install(installed, "--processes", "2")
    assert processes_in(installed) == ["USERAUTH_SERVER__PROCESSES=2"]
    edited = edit(installed, "USERAUTH_METRICS__PORT=9464")
    install(installed)
    assert (environment_of(installed), files_in(installed)) == (edited, FILES)


@pytest.mark.usefixtures("external")
def test_a_number_of_processes_is_not_written_if_the_packages_cannot_be_installed(
    installed: Path,
) -> None:
    before = environment_of(installed)
    # A file that cannot be read, as pip cannot install a package that does not exist.
    wanted = installed / "etc/userauth/requirements.txt"
    wanted.mkdir()
    ended = run_installation(installed, "--processes", "2")
    wanted.rmdir()
    assert ended.returncode != 0
    assert (environment_of(installed), files_in(installed)) == (before, FILES)


@pytest.mark.usefixtures("external")
@pytest.mark.parametrize(
    ("line", "number"), [("USERAUTH_METRICS__PORT=9464", []), ("{}=3", ["{}=3"])]
)
def test_after_a_killed_installation_only_its_number_of_processes_is_undone(
    installed: Path, systemctl: Callable[[str], Path], line: str, number: list[str]
) -> None:
    name = "USERAUTH_SERVER__PROCESSES"
    before = environment_of(installed)
    marker = mark(installed)
    killing = systemctl('[ "$*" != "restart userauth@02.service" ] || kill -9 $PPID')
    assert run_installation(installed, "--processes", "2", systemctl=killing).returncode != 0
    assert processes_in(installed) == [f"{name}=2"]
    edit(installed, line.format(name))
    install(installed)
    assert not marker.exists()
    assert processes_in(installed)[-1:] == [each.format(name) for each in number]
    assert environment_of(installed).startswith(before)
    assert line.format(name) in environment_of(installed)
    assert files_in(installed) == FILES


@pytest.mark.long
def test_a_first_installation_that_does_not_start_keeps_its_number_and_later_edits(
    tmp_path: Path, systemctl: Callable[[str], Path], postgres: str
) -> None:
    root = tmp_path / "machine"
    credentials = root / "etc/userauth/credentials"
    credentials.mkdir(parents=True)
    (credentials / "DATABASE_URL").write_text(postgres, "utf-8")
    ended = run_installation(root, "--processes", "2", systemctl=systemctl("false"))
    assert "the new version does not start" in ended.stderr
    edited = edit(root, "USERAUTH_METRICS__PORT=9464")
    install(root)
    assert (environment_of(root), files_in(root)) == (edited, FILES)
    assert processes_in(root) == ["USERAUTH_SERVER__PROCESSES=2"]


def test_several_processes_are_not_installed_with_the_embedded_postgres(installed: Path) -> None:
    marker = mark(installed)
    ended = run_installation(installed, "--processes", "2")
    assert ended.returncode == 1
    assert "several processes need DATABASE_URL" in ended.stderr
    assert marker.exists()
    assert processes_in(installed) == []


@pytest.mark.parametrize("number", ["0", "two", "100", ""])
def test_an_invalid_number_of_processes_is_an_error(installed: Path, number: str) -> None:
    ended = run_installation(installed, "--processes", number)
    assert (ended.returncode, ended.stderr) == (
        1,
        "userauth: --processes: must be a number from 1 to 64\n",
    )


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


@pytest.fixture
def copied(installed: Path) -> Iterator[Path]:
    """Return a copy of the installation, for a test that removes it."""
    with new_program_directory() as folder:
        yield shutil.copytree(installed, Path(folder) / "machine", symlinks=True)


def test_an_uninstallation_keeps_settings_and_secrets(
    copied: Path, systemctl: Callable[[str], Path], called: Path
) -> None:
    before = secrets_of(copied)
    links = [
        copied / "etc/systemd/system" / name
        for name in (
            "multi-user.target.wants/userauth@01.service",
            "sockets.target.wants/userauth@01.socket",
        )
    ]
    for link in links:
        link.parent.mkdir()
        link.symlink_to("..")
    install(copied, "--uninstall", systemctl=systemctl(""))
    calls = called.read_text("utf-8").splitlines()
    # A connection to the socket would start the service again.
    stopped = [calls.index(f"--quiet disable --now {link.name}") for link in reversed(links)]
    assert stopped == sorted(stopped)
    for link in links:
        link.unlink()
        link.parent.rmdir()
    install(copied, "--uninstall")
    assert not (copied / "opt/userauth").exists()
    assert list((copied / "etc/systemd/system").iterdir()) == []
    assert secrets_of(copied) == before
