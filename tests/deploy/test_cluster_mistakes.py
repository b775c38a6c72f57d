"""Mistakes in the folder and the owner of a cluster's files: one line, and nothing is written."""

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cluster.configure import main
from deploy.cluster.passwords import ROLES
from tests.harness.cluster_mistakes import PATH, PLAN, lines_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that does not exist."""
    return tmp_path / "folder"


def test_a_folder_that_cannot_be_one_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, loop = folder.with_name("file"), folder.with_name("loop")
    file.touch()
    loop.symlink_to(loop)
    for each, wrong in ((file, file), (file / "below", file), (loop, loop)):
        assert lines_of(capsys, PLAN, each) == [f"configure.py: {wrong}: is not a directory"]
    quoted = folder / "it's"
    assert lines_of(capsys, PLAN, quoted) == [f"configure.py: {quoted}: must be {PATH}"]
    folder.mkdir()
    (folder / "n2").touch()
    assert lines_of(capsys, PLAN, folder) == [f"configure.py: {folder / 'n2'}: is not a directory"]
    assert [each.name for each in folder.iterdir()] == ["n2"]


def test_a_file_that_cannot_be_written_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "haproxy.cfg").mkdir(parents=True)
    [line] = lines_of(capsys, PLAN, folder)
    assert line.endswith(": cannot be written: Is a directory")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: text[:18], "is not JSON in UTF-8: "),
        (lambda _: 5000 * "[", "is not JSON in UTF-8: "),
        (lambda _: "[]", "must be a JSON object"),
        (lambda text: text.replace("rewind", "rewound"), "rewind is missing"),
        (lambda text: text.replace("rewind", "rewound"), "'rewound' is not known"),
        (
            lambda text: json.dumps({**json.loads(text), "userauth": "it's"}),
            "userauth must be a text of letters, digits and _ . ~ -",
        ),
        (
            lambda text: json.dumps({**json.loads(text), "userauth": 1}),
            "userauth must be a text of letters, digits and _ . ~ -",
        ),
    ],
)
def test_damaged_passwords_are_reported_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[str], str], line: str
) -> None:
    assert main([str(PLAN), str(folder)]) == 0
    capsys.readouterr()
    stored = folder / "secrets.json"
    damaged = change(stored.read_text("utf-8"))
    stored.write_text(damaged, "utf-8")
    (folder / "DATABASE_URL").unlink()
    found = lines_of(capsys, PLAN, folder)
    assert [each for each in found if each.startswith(f"configure.py: {stored}: {line}")]
    assert stored.read_text("utf-8") == damaged
    assert not (folder / "DATABASE_URL").exists()


def test_a_missing_user_and_a_missing_group_have_separate_messages(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nosuchuser", ""):
        found = lines_of(capsys, PLAN, folder, "--owner", name)
        assert found == [f"configure.py: --owner: no user {name!r} exists"]

    def find_none(name: str) -> grp.struct_group:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", find_none)
    found = lines_of(capsys, PLAN, folder, "--owner", "daemon")
    assert found == ["configure.py: --owner: no group 'daemon' exists"]
    assert not folder.exists()


def test_only_root_can_name_another_owner(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("daemon").pw_uid + 1)
    found = lines_of(capsys, PLAN, folder, "--owner", "daemon")
    assert found == ["configure.py: --owner: only root can give files to 'daemon'"]
    assert not folder.exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize("name", ["n1", "n2/role.sql", "pgbouncer.ini", "userlist.txt"])
def test_root_has_to_name_the_owner_again(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    uid = pwd.getpwnam("daemon").pw_uid
    assert main([str(PLAN), str(folder)]) == 0
    assert main([str(PLAN), str(folder)]) == 0
    capsys.readouterr()
    os.chown(folder / name, uid, -1)
    expected = f"configure.py: {folder / name}: belongs to daemon: pass the same --owner"
    assert lines_of(capsys, PLAN, folder) == [expected]
    assert (folder / name).stat().st_uid == uid
    assert main([str(PLAN), str(folder), "--owner", "daemon"]) == 0


def test_the_script_needs_only_python_and_runs_in_any_directory(folder: Path) -> None:
    folder.mkdir()
    command = [sys.executable, "-S", "-I", "-W", "error", str(PLAN.with_name("configure.py"))]

    def run(plan: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, str(plan), "."],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    written = run(PLAN)
    assert (written.returncode, written.stderr) == (0, "")
    assert set(json.loads((folder / "secrets.json").read_text("utf-8"))) == set(ROLES)
    failed = run(Path("missing.toml"))
    assert (failed.returncode, failed.stdout) == (2, "")
    assert (
        failed.stderr == "configure.py: missing.toml: cannot be read: No such file or directory\n"
    )
