"""``manage.py backup`` and ``manage.py restore``: the whole database in a file, and back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from commands.administrator import Administrator, AlreadyExists, NotFoundError, shown_time
from commands.backup_files import complete_file, name_at, remove_old
from commands.terminal import confirm, say
from db.errors import DatabaseNotEmpty, SchemaMissing
from postgres.archives import Manifest, open_archive
from services.backups import Restoration
from settings import Settings

_STANDARD_OUTPUT = "-"


@click.command()
@click.argument("file", required=False, default=".", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Put it in place of a file that is there.")
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Then remove all but N of the newest."
)
@click.pass_obj
def backup(
    administrator: Administrator,
    file: Path,
    overwrite: bool,  # noqa: FBT001 - click's way
    keep: int | None,
) -> None:
    """Write the whole database into a new FILE, whether or not a server runs.

    FILE may be a folder, the current one by default: the file is named after the time there. It
    may be - for standard output. The file is readable to nobody but you, is checked by reading
    it, and is there only when it is complete.
    """
    if str(file) == _STANDARD_OUTPUT:
        _to_standard_output(administrator)
        return
    folder = file if file.is_dir() else None
    if keep is not None and folder is None:
        raise click.UsageError("--keep works on a folder of backups: name one.")
    path = folder / name_at(datetime.now(UTC)) if folder else file
    with _told_by_path(path):
        manifest = _to_file(administrator, path, overwrite=overwrite)
        removed = remove_old(folder, keep=keep) if folder and keep else []
    say(f"{path.absolute()}: {_contents(manifest)}, checked")
    for old in removed:
        say(f"{old.absolute()}: removed")
    _tell_what_is_missing(administrator.settings)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Lose what is in the database.")
@click.option("--keep-tokens", is_flag=True, help="Leave tokens good: nothing happened since.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(
    administrator: Administrator,
    file: Path,
    replace: bool,  # noqa: FBT001 - click's way
    keep_tokens: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
) -> None:
    """Bring the database back that FILE holds, wholly or not at all.

    Stop every server before. All tokens are ended: the backup does not know which of them were
    revoked since. A backup of an earlier version is brought up to date.
    """
    with _told_by_path(file), open_archive(file) as archive:
        manifest = archive.manifest
        say(f"{_contents(manifest)}, of {shown_time(manifest.made_at)}", err=True)
        if replace and not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("Say --yes: there is nobody to ask.")
            confirm(f"Lose what is in {administrator.place}, and restore this?")
        with administrator.backups() as backups:
            try:
                done = backups.restore(archive, may_replace=replace, keeps_tokens=keep_tokens)
            except DatabaseNotEmpty as error:
                raise AlreadyExists(str(error)) from None
    _tell(done, keep_tokens=keep_tokens)


def _to_file(administrator: Administrator, path: Path, *, overwrite: bool) -> Manifest:
    with complete_file(path, overwrite=overwrite) as target:
        with administrator.backups() as backups:
            try:
                manifest = backups.write(target)
            except SchemaMissing as error:
                raise NotFoundError(str(error)) from None
        target.flush()
        with open_archive(Path(target.name)) as archive:
            archive.check()
    return manifest


def _to_standard_output(administrator: Administrator) -> None:
    target = sys.stdout.buffer
    if target.isatty():
        raise click.UsageError("Standard output is a terminal: name a file, or a pipe.")
    with _told_by_path(Path("standard output")), administrator.backups() as backups:
        manifest = backups.write(target)
        target.flush()
    say(f"{_contents(manifest)}, not checked", err=True)
    _tell_what_is_missing(administrator.settings)


@contextmanager
def _told_by_path(path: Path) -> Iterator[None]:
    """Say which file cannot be read or written, and why."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror or error}") from None


def _contents(manifest: Manifest) -> str:
    return (
        f"{manifest.rows['users']} users, {manifest.size} bytes, schema version {manifest.version}"
    )


def _tell_what_is_missing(settings: Settings) -> None:
    file = settings.tokens.keys_file
    where = "SECRET_KEYS" if settings.tokens.keys or file is None else str(file)
    # Whether there is a pepper is not known to one who is not handed the secrets.
    say(
        f"Not in it, and needed with it: the signing keys ({where}), or every token ends; the"
        " pepper (PASSWORD_PEPPER), where one is set, or no password is right.",
        err=True,
    )


def _tell(done: Restoration, *, keep_tokens: bool) -> None:
    tokens = "tokens kept" if keep_tokens else f"{done.revoked_tokens} tokens ended"
    say(f"{done.users} users restored, {tokens}")
    if done.migrated_from is not None:
        say(f"The schema was brought up to date from version {done.migrated_from}.")
    if done.lost_events:
        say(
            f"The audit trail of before is gone, {done.lost_events} events: what there is now is"
            " that of the backup, and this restore.",
            err=True,
        )
    for what, emails in (("deleted", done.deleted), ("disabled", done.disabled)):
        for email in emails:
            say(f"{email} was {what} since the backup, and is back.", err=True)
