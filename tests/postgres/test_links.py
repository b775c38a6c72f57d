"""Symlinks in the data directory: root follows none that another user created."""

import logging
import os
import shutil
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from postgres.access_lists import AccessListError, grant_traversal
from postgres.data_directory import DataDirectory
from postgres.directory_handle import open_directory, open_directory_descriptor
from postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from postgres.socket_directory import remove_socket_directory
from tests.harness.embedded_clusters import (
    NOBODY,
    as_ordinary_user,
    copy_cluster,
    starts_and_works,
)
from tests.harness.memory_directory import new_directory

SECRET = "what only root may read"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Yield a stopped cluster."""
    with new_directory() as folder:
        EmbeddedPostgres.start(Path(folder) / "postgres").stop()
        yield Path(folder) / "postgres"


@pytest.fixture
def cluster(place: Path, made: Path) -> Path:
    """Return a copy of the cluster."""
    return copy_cluster(made, place)


@pytest.fixture
def victim(place: Path) -> Path:
    """Return a private directory with a file."""
    folder = place / "private"
    folder.mkdir(mode=0o700)
    (folder / "secret").write_text(SECRET, encoding="utf-8")
    (folder / "secret").chmod(0o600)
    return folder


def is_unchanged(victim: Path) -> None:
    assert [path.name for path in victim.iterdir()] == ["secret"]
    assert (victim / "secret").read_text("utf-8") == SECRET
    for path, mode in ((victim, 0o700), (victim / "secret", 0o600)):
        status = path.stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), mode)


def replace_with_link(link: Path, target: Path, *, hard: bool = False) -> None:
    """Replace a file or directory with a link."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    if hard:
        link.hardlink_to(target)
    else:
        link.symlink_to(target)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "namespace",
        ".namespace.new",
        "access.conf",
        ".access.conf.new",
        "start.lock",
        "members.lock",
        "postmaster.pid",
        "startup.log",
        "PG_VERSION",
        "logs/postgresql.log",
        ".s.PGSQL.5432.lock",
    ],
)
def test_a_link_instead_of_a_file_is_neither_written_nor_quoted(
    cluster: Path, victim: Path, name: str, *, hard: bool
) -> None:
    replace_with_link(cluster / name, victim / "secret", hard=hard)
    error = error_of_start(cluster)
    assert error == "" or "cannot use" in error
    assert SECRET not in error
    is_unchanged(victim)


def error_of_start(cluster: Path) -> str:
    """Start and stop Postgres; return the error, or ""."""
    try:
        EmbeddedPostgres.start(cluster).stop()
    except EmbeddedPostgresError as error:
        return str(error)
    return ""


def test_a_failed_start_quotes_no_file_behind_a_symlink(cluster: Path, victim: Path) -> None:
    with (cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("nonsense = on\n")
    replace_with_link(cluster / "logs", victim)
    (victim / "secret").rename(victim / "secret.log")
    with pytest.raises(EmbeddedPostgresError) as raised:
        EmbeddedPostgres.start(cluster)
    assert SECRET not in str(raised.value)
    (victim / "secret.log").rename(victim / "secret")
    is_unchanged(victim)


@pytest.mark.parametrize("name", [".initdb", ".initdb-done"])
def test_a_symlink_instead_of_an_unfinished_cluster_is_not_followed(
    cluster: Path, victim: Path, name: str
) -> None:
    (cluster / "PG_VERSION").unlink()
    replace_with_link(cluster / name, victim)
    with pytest.raises(EmbeddedPostgresError):
        EmbeddedPostgres.start(cluster)
    is_unchanged(victim)


def test_a_named_pipe_instead_of_a_file_does_not_block(cluster: Path) -> None:
    for name in ("start.lock", "members.lock", "postmaster.pid"):
        with suppress(FileNotFoundError):
            (cluster / name).unlink()
        os.mkfifo(cluster / name)
        with pytest.raises(EmbeddedPostgresError, match="not a regular file"):
            EmbeddedPostgres.start(cluster)
        (cluster / name).unlink()
    starts_and_works(cluster)


def test_a_directory_instead_of_a_temporary_file_does_not_prevent_a_start(cluster: Path) -> None:
    for name in ("namespace", "access.conf"):
        (cluster / f".{name}.new").mkdir()
        (cluster / name).unlink()
    starts_and_works(cluster)
    assert {".namespace.new", ".access.conf.new"} == {path.name for path in cluster.glob(".*.new")}


def test_files_of_an_interrupted_start_are_recognized(place: Path) -> None:
    folder = place / "postgres"
    folder.mkdir(mode=0o700)
    for name in ("start.lock", "members.lock", ".namespace.new", ".namespace.0a1b.new"):
        (folder / name).touch(0o600)
    assert error_of_start(folder) == ""


def test_a_failed_write_leaves_no_temporary_file(place: Path) -> None:
    (place / "text").mkdir()
    with (
        open_directory(place, frozenset({os.geteuid()})) as folder,
        pytest.raises(IsADirectoryError),
    ):
        folder.write("text", "new", os.geteuid(), os.getegid())
    assert [path.name for path in place.iterdir()] == ["text"]


def test_only_the_last_directory_of_a_path_is_private(place: Path) -> None:
    os.close(open_directory_descriptor(place / "data" / "data", make=True))
    mask = os.umask(0o022)
    os.umask(mask)
    for path, mode in ((place / "data", 0o777 & ~mask), (place / "data" / "data", 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_only_the_socket_directory_is_removed(cluster: Path, place: Path) -> None:
    other = place / "other"
    other.mkdir()
    remove_socket_directory(DataDirectory.open(cluster), other)
    assert other.is_dir()


def test_a_directory_that_was_replaced_by_a_symlink_is_not_used(
    cluster: Path, victim: Path
) -> None:
    directory = DataDirectory.open(cluster)
    cluster.rename(cluster.with_name("moved"))
    cluster.symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"), directory.handle():
        pass
    if os.geteuid() == 0:
        # The same for a parent directory.
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            os.close(open_directory_descriptor(cluster / "below", make=True))
    is_unchanged(victim)


def test_a_directory_of_another_user_is_not_used(victim: Path) -> None:
    with pytest.raises(PermissionError), open_directory(victim, frozenset({NOBODY})):
        pass


# Access to the data and the programs


def can_list(folder: Path) -> bool:
    with suppress(PermissionError):
        return bool(list(folder.iterdir())) or True
    return False


def can_read(file: Path) -> bool:
    with suppress(PermissionError):
        return bool(file.read_text("utf-8"))
    return False


@pytest.mark.needs("root")
def test_only_the_postgres_user_may_traverse_a_private_parent_directory(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    (home / "letter").write_text(SECRET, encoding="utf-8")
    (home / "letter").chmod(0o644)
    place.chmod(0o755)
    with caplog.at_level(logging.WARNING):
        starts_and_works(home / "postgres")
    assert f"not list, {home}" in caplog.text
    assert home.stat().st_mode & 0o007 == 0

    def work() -> None:
        assert not can_list(home)
        assert not can_read(home / "letter")

    as_ordinary_user(work)
    caplog.clear()
    starts_and_works(home / "postgres")
    assert caplog.text == ""
    # Its owner closes it again; then the same.
    home.chmod(0o700)
    starts_and_works(home / "postgres")
    grant_traversal(home / "letter", NOBODY, NOBODY)

    def pass_through() -> None:
        assert not can_list(home)
        assert can_read(home / "letter")

    as_ordinary_user(pass_through)


@pytest.mark.needs("root")
def test_an_access_list_entry_gives_no_other_user_more_rights(place: Path) -> None:
    place.chmod(0o755)
    home = place / "home"
    home.mkdir(mode=0o700)
    (home / "letter").touch(0o644)
    # A user whose entry the mask disables, as after chmod 700.
    lines = [(0x01, 7, -1), (0x02, 5, 4711), (0x04, 5, -1), (0x10, 0, -1), (0x20, 0, -1)]
    packed = b"".join(struct.pack("<HHi", *line) for line in lines)
    os.setxattr(home, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    grant_traversal(home / "letter", NOBODY, NOBODY)
    packed = os.getxattr(home, "system.posix_acl_access")
    assert list(struct.iter_unpack("<HHi", packed[4:])) == [
        (0x01, 7, -1),
        (0x02, 0, 4711),
        (0x02, 1, NOBODY),
        (0x04, 0, -1),
        (0x10, 1, -1),
        (0x20, 0, -1),
    ]


@pytest.mark.needs("root")
def test_a_private_directory_of_another_user_stays_closed(place: Path) -> None:
    place.chmod(0o755)
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    (home / "checkout").mkdir()
    with pytest.raises(
        EmbeddedPostgresError, match=r"belongs to the user nobody.*chmod o\+x.*DATABASE_URL"
    ):
        EmbeddedPostgres.start(home / "checkout" / "postgres")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.needs("root")
def test_a_file_system_without_access_lists_is_reported() -> None:
    # The file systems of the kernel do not support them.
    with pytest.raises(AccessListError, match=r"/proc/1/map_files|/proc/1/fd"):
        grant_traversal(Path("/proc/1/fd/none"), NOBODY, NOBODY)
