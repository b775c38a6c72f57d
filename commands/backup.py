"""``manage.py backup`` and ``manage.py restore``: the whole database as a file."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from commands.administrator import (
    Administrator,
    AlreadyExists,
    FilePath,
    NotFoundError,
    shown_time,
)
from commands.backup_files import complete_file, name_at, remove_old
from commands.private_file import STANDARD_OUTPUT, file_errors, standard_output
from commands.terminal import confirm, say
from db.errors import DatabaseNotEmpty, SchemaMissing
from postgres.archives import Manifest, open_archive
from postgres.restore import RestoreResult
from rules.counting import counted
from services.backups import Backups
from settings import Settings


@click.command()
@click.argument("file", required=False, default=".", type=FilePath())
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Keep the N newest backups in the directory and delete older ones.",
)
@click.pass_obj
def backup(
    administrator: Administrator,
    file: Path,
    overwrite: bool,
    keep: int | None,
) -> None:
    """Back up the whole database to a file.

    The server can run meanwhile. FILE may be a directory, by default the current one: the file in
    it is named after the time. FILE may be - for standard output. Only you can read the file; it is
    verified by reading it back, and appears only when it is complete.
    """
    if str(file) == STANDARD_OUTPUT:
        _to_standard_output(administrator)
        return
    folder = file if file.is_dir() else None
    if keep is not None and folder is None:
        raise click.UsageError("--keep needs a directory of backups.")
    path = folder / name_at(datetime.now(UTC)) if folder else file
    with file_errors(path):
        manifest = _to_file(administrator, path, overwrite=overwrite)
        removed = remove_old(folder, keep=keep) if folder and keep else []
    say(f"{path.absolute()}: {_contents(manifest)}, verified")
    for old in removed:
        say(f"{old.absolute()}: removed")
    _say_what_is_missing(administrator.settings)


@click.command()
@click.argument("file", type=FilePath(exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Delete the existing users and clients first.")
@click.option(
    "--keep-tokens",
    is_flag=True,
    help="Keep tokens valid. Use only if none was revoked since the backup.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def restore(
    administrator: Administrator,
    file: Path,
    replace: bool,
    keep_tokens: bool,
    yes: bool,
) -> None:
    """Restore a backup; revokes all tokens by default.

    Stop every server first. The database is restored completely or not at all. The backup does not
    contain later revocations, so all tokens are revoked; messages to users are deleted. A backup of
    an earlier schema version is migrated.
    """
    with file_errors(file), open_archive(file) as archive:
        manifest = archive.manifest
        say(f"{_contents(manifest)}, made at {shown_time(manifest.made_at)}", err=True)
        must_confirm = replace and not yes
        if must_confirm and not sys.stdin.isatty():
            raise click.UsageError("Standard input is not a terminal; pass --yes to confirm.")
        with administrator.backups() as backups:
            if must_confirm:
                _confirm(backups, administrator.location, file)
            try:
                done = backups.restore(archive, may_replace=replace, keeps_tokens=keep_tokens)
            except DatabaseNotEmpty as error:
                raise AlreadyExists(str(error)) from None
    _report(done, keep_tokens=keep_tokens)


def _confirm(backups: Backups, location: str, file: Path) -> None:
    """Prompt for confirmation of what a restore deletes."""
    found = backups.count_replaced()
    users, clients, tokens = (
        counted(found[f"{each}s"], each) for each in ("user", "client", "token")
    )
    confirm(f"Delete {users} with {tokens} and {clients} in {location} and restore {file.name}?")


def _to_file(administrator: Administrator, path: Path, *, overwrite: bool) -> Manifest:
    with complete_file(path, overwrite=overwrite) as target:
        manifest = _write(administrator, target)
        target.flush()
        with open_archive(Path(target.name)) as archive:
            archive.check()
    return manifest


def _to_standard_output(administrator: Administrator) -> None:
    with standard_output() as target:
        manifest = _write(administrator, target)
        target.flush()
    say(f"{_contents(manifest)}, not verified", err=True)
    _say_what_is_missing(administrator.settings)


def _write(administrator: Administrator, target: BinaryIO) -> Manifest:
    """Write a backup; raises NotFoundError if the database contains no data of this server."""
    with administrator.backups() as backups:
        try:
            return backups.write(target)
        except SchemaMissing as error:
            raise NotFoundError(str(error)) from None


def _contents(manifest: Manifest) -> str:
    return (
        f"{counted(manifest.rows['users'], 'user')}, {counted(manifest.size, 'byte')},"
        f" schema version {manifest.version}"
    )


def _say_what_is_missing(settings: Settings) -> None:
    file = settings.tokens.keys_file
    where = "SECRET_KEYS" if settings.tokens.keys or file is None else str(file)
    # The service that makes backups has no access to the pepper, and does not know if there is one.
    say(
        f"Not included: the signing keys ({where}), without which all users must log in again, and"
        " the pepper (PASSWORD_PEPPER), if one is set, which hashes made with it require. Keep a"
        " copy of them.",
        err=True,
    )


def _report(done: RestoreResult, *, keep_tokens: bool) -> None:
    tokens = "tokens kept" if keep_tokens else f"{counted(done.revoked_tokens, 'token')} revoked"
    say(f"{counted(done.users, 'user')} restored, {tokens}")
    if done.migrated_from is not None:
        say(f"The schema was migrated from version {done.migrated_from}.")
    if done.lost_events:
        say(
            f"Deleted {counted(done.lost_events, 'event')} of the replaced database: the audit"
            " trail now contains those of the backup, and this restore.",
            err=True,
        )
    for change in ("deleted", "disabled"):
        for email in done.changed.get(change, ()):
            say(f"{email} was {change} after the backup, and is restored.", err=True)
