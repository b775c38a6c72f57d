"""The programs that tests need: installed where that is allowed, and named where it is not."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.harness import programs
from tests.harness.configuration import ROOT

# What apt-get and the like would do is written to a file.
FAKE = """#!/bin/sh
case ${0##*/}-$2 in
    apt-cache-chromium) exit 100 ;; # unknown
    apt-cache-chromium-driver) exit 0 ;; # virtual
    apt-cache-*) echo "Package: $2" ;;
esac
echo "${0##*/} $* $(tail -n 1 "$POLICY" 2>/dev/null)" >>"$CALLS"
"""
# The barrier opens when this process ends or has handled a signal without an exception.
INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from tests.harness import programs
signal.signal(signal.SIGHUP, signal.SIG_DFL) # nohup has the tests ignore it
barrier = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGWINCH, lambda *_: sys.exception() or os.close(barrier))
os.geteuid = lambda: 0
programs._missing = lambda: ["curl"]
programs._POLICY = Path(os.environ["POLICY"])
programs.main()
"""
# Like a terminal, it signals the whole process group; its child goes on even if it is killed.
INTERRUPTING = """
[ "$2" = {command} ] || exit 0
exec 3<{barrier}
(kill -{number} -$PPID; kill -WINCH $PPID; cat <&3
echo "dpkg $(tail -n 1 "$POLICY" 2>/dev/null)" >>"$CALLS")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the package manager; return the file that lists its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "apt-cache", "systemctl"):
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(programs, "_POLICY", policy)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("POLICY", str(policy))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_packages_are_installed_and_their_services_neither_started_nor_enabled(
    calls: Path, tmp_path: Path
) -> None:
    programs.install(["nginx", "promtool", "chromium", "chromedriver"])
    *_, installed, disabled = calls.read_text().splitlines()
    assert installed == (
        "apt-get -qq install -o DPkg::Lock::Timeout=300 --yes --no-install-recommends"
        " nginx-light prometheus exit 101"
    )
    assert disabled.rstrip() == "systemctl --quiet disable nginx.service prometheus.service"
    assert not (tmp_path / "policy-rc.d").exists()


# The second is that of Docker's images of Ubuntu.
@pytest.mark.parametrize("text", ["exit 104\n", "#!/bin/sh\nexit 101\n"])
def test_a_policy_of_the_machine_is_kept(calls: Path, tmp_path: Path, text: str) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(text)
    programs.install(["curl"])
    assert calls.read_text().rstrip().endswith(f" curl {text.splitlines()[-1]}")
    assert policy.read_text() == text


def test_a_policy_that_cannot_be_read_is_kept(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy-rc.d").write_text("exit 104\n")
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=PermissionError))
    programs.install(["curl"])
    assert calls.read_text().rstrip().endswith(" curl exit 104")


def test_services_may_start_again_when_an_installation_fails(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "apt-get").write_text('#!/bin/sh\n[ "$2" = update ]\n')
    with pytest.raises(subprocess.CalledProcessError):
        programs.install(["curl"])
    assert not calls.exists() or "apt-get" not in calls.read_text()
    assert not (tmp_path / "policy-rc.d").exists()


def test_a_broken_source_of_packages_does_not_stop_an_installation(
    calls: Path, tmp_path: Path
) -> None:
    failing = FAKE.replace("esac", "    apt-get-update) exit 100 ;;\nesac")
    (tmp_path / "bin" / "apt-get").write_text(failing)
    programs.install(["curl"])
    assert calls.read_text().rstrip().endswith(" curl exit 101")


def test_a_policy_that_an_earlier_run_left_behind_is_removed(calls: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\n# Written by make programs of userauth\nexit 101\n")
    programs.install(["curl"])
    assert calls.read_text().rstrip().endswith(" curl exit 101")
    assert not policy.exists()


def _interrupt(command: str, folder: Path, number: signal.Signals) -> None:
    """Signal an installation during a command of apt-get; check the exit code."""
    barrier = folder / "barrier"
    os.mkfifo(barrier)
    interrupting = INTERRUPTING.format(command=command, barrier=barrier, number=number)
    (folder / "bin" / "apt-get").write_text(FAKE + interrupting)
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(barrier)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=False,
        start_new_session=True,
    )
    assert ended.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_an_installation_whose_services_are_denied(
    calls: Path, tmp_path: Path, number: signal.Signals
) -> None:
    _interrupt("install", tmp_path, number)
    *_, installed, configured = calls.read_text().splitlines()
    assert installed.endswith(" curl exit 101")
    assert configured == "dpkg exit 101"
    assert not (tmp_path / "policy-rc.d").exists()


def test_no_installation_starts_after_a_signal(calls: Path, tmp_path: Path) -> None:
    _interrupt("update", tmp_path, signal.SIGTERM)
    assert "apt-get -qq update" in calls.read_text()
    assert "install" not in calls.read_text()


def test_where_nothing_can_be_installed_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SEARCH_PATH", str(tmp_path))
    assert programs.main() == 1
    output = capsys.readouterr().err
    assert output.startswith("Missing: buildah, caddy, chromedriver, chromium, curl, ")
    assert output.endswith("To install: sudo make programs\n")


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert phony[1].split() == targets
    shown = subprocess.run(
        ["/usr/bin/make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    assert [line.split()[1] for line in shown.splitlines()] == targets
    assert all(len(line.split()) > 3 for line in shown.splitlines())
    # The descriptions are in one column.
    assert len({len(line) - len(line.split(maxsplit=2)[2]) for line in shown.splitlines()}) == 1


def test_no_version_of_python_is_named_where_python3_is_enough() -> None:
    for name in ("Makefile", ".ci/run", "deploy/install.sh"):
        assert "python3." not in (ROOT / name).read_text("utf-8"), name
