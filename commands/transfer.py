"""``manage.py users import`` and ``users export``: users from and for other services."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

import click
from pydantic_core import to_json

from commands.administrator import Administrator, FilePath
from commands.private_file import (
    STANDARD_OUTPUT,
    check_new_file,
    new_private_file,
    standard_output,
)
from commands.terminal import say
from commands.user_batches import read_batches
from commands.user_files import Line, Reader, faults_of, reader
from commands.user_records import FIELDS
from db.rows import ImportedUser
from rules.counting import counted
from rules.errors import InvalidFields
from services.all_services import AdministrationServices
from services.transfer import ImportOptions, UserRecord

_MAX_FAULTS_SHOWN = 1000


@click.command("import")
@click.argument("file", type=FilePath(exists=True, dir_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="File format; by default from the file name.",
)
@click.option(
    "--allow-expensive-hashes",
    "allow_expensive",
    is_flag=True,
    help="Accept hashes that take much memory or time.",
)
@click.option(
    "--without-password", is_flag=True, help="Accept users without a password hash, or with !…"
)
@click.option(
    "--skip-invalid",
    "rejects",
    metavar="NEWFILE",
    type=FilePath(dir_okay=False),
    help="Skip invalid lines; write them to NEWFILE.",
)
@click.option("--dry-run", is_flag=True, help="Check the file; import nothing.")
@click.pass_obj
def import_users(
    administrator: Administrator,
    file: Path,
    form: str | None,
    *,
    allow_expensive: bool,
    without_password: bool,
    rejects: Path | None,
    dry_run: bool,
) -> None:
    """Import users with their password hashes.

    FILE contains JSON lines, or CSV with a header: email, password_hash, and optionally name,
    created_at, disabled_at and email_verified_at (RFC 3339), and language. All lines are checked
    first; if one is invalid, none is imported, unless you pass --skip-invalid and at least one line
    is valid. Users with an existing email address are skipped, so an interrupted import can be
    repeated.
    """
    options = ImportOptions(allow_expensive=allow_expensive, without_password=without_password)
    read = reader(file, form, without_password=without_password)
    if dry_run and rejects is not None:
        check_new_file(rejects)
    with _opened(None if dry_run else rejects) as target:
        source = _Source(file, read, options, target, skips_invalid=rejects is not None)
        say(administrator.run(lambda services: _import(services, source, dry_run=dry_run)))


@click.command("export")
@click.argument("file", type=FilePath(dir_okay=False, allow_dash=True))
@click.pass_obj
def export_users(administrator: Administrator, file: Path) -> None:
    """Export all users with their password hashes.

    Writes JSON lines to a new FILE, which only you can read, or to standard output if FILE is -.
    users import accepts it.
    """

    async def write(services: AdministrationServices) -> int:
        count = 0
        async for user in services.transfer.export_users():
            document = {name: getattr(user, name) for name in FIELDS}
            target.write(to_json(document) + b"\n")
            count += 1
        target.flush()
        return count

    is_standard = str(file) == STANDARD_OUTPUT
    with standard_output() if is_standard else new_private_file(file) as target:
        count = administrator.run(write)
    say(f"Exported {counted(count, 'user')}.", err=is_standard)


@contextmanager
def _opened(rejects: Path | None) -> Iterator[BinaryIO | None]:
    """Yield the file for rejected lines, if there is one; remove it if it remains empty."""
    if rejects is None:
        yield None
        return
    with new_private_file(rejects) as target:
        yield target
        is_empty = target.tell() == 0
    if is_empty:
        rejects.unlink()


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of users, how to read it, which records to accept, and the file for rejected ones.

    Unless ``skips_invalid``, an invalid line is an error.
    """

    file: Path
    read: Reader
    options: ImportOptions
    rejects: BinaryIO | None
    skips_invalid: bool

    def check(self, services: AdministrationServices, record: UserRecord) -> ImportedUser:
        """Return the user of a record; raises InvalidFields."""
        return services.transfer.check(record, self.options)


async def _import(services: AdministrationServices, source: _Source, *, dry_run: bool) -> str:
    """Check every line, then import the valid ones; return a summary."""
    found = await _check(services, source)
    if dry_run:
        new = found.valid - found.existing
        return f"Would import {counted(new, 'user')}{_skipping(found.existing, found.invalid)}"
    new = await _import_lines(services, source, found.digests)
    return f"Imported {counted(new, 'user')}{_skipping(found.valid - new, found.invalid)}"


def _skipping(existing: int, invalid: int) -> str:
    text = f"; skipped {existing} that already exist" if existing else ""
    return f"{text}; skipped {counted(invalid, 'invalid line')}." if invalid else f"{text}."


@dataclass(slots=True)
class _Found:
    """The numbers of valid and invalid lines, and of lines whose user exists.

    ``digests`` are those of the batches.
    """

    digests: list[bytes] = field(default_factory=list)
    valid: int = 0
    invalid: int = 0
    existing: int = 0


async def _check(services: AdministrationServices, source: _Source) -> _Found:
    """Count the lines. Print the errors of invalid ones, and write them to the file for them.

    Raises ClickException if an invalid line may not be skipped, or if all lines are invalid: the
    format may be wrong.
    """
    found = _Found()
    seen: dict[str, int] = {}
    for batch in read_batches(source.file, source.read, "checking"):
        users = []
        for line in batch.lines:
            user, fault = _checked(services, source, line, seen)
            if user is not None:
                users.append(user)
                continue
            found.invalid += 1
            if found.invalid <= _MAX_FAULTS_SHOWN:
                say(f"line {line.number}: {fault}", err=True)
            if source.rejects is not None:
                _write(source.rejects, line)
        found.digests.append(batch.digest)
        found.valid += len(users)
        found.existing += len(await services.transfer.find_taken(users))
    if found.invalid and not (source.skips_invalid and found.valid):
        invalid, lines = counted(found.invalid, "invalid line"), found.valid + found.invalid
        raise click.ClickException(f"{invalid} of {lines}: nothing was imported.")
    return found


def _write(target: BinaryIO, line: Line) -> None:
    """Write an invalid line, as part of a file that can be corrected and imported."""
    if line.header and target.tell() == 0:
        target.write(line.header)
    target.write(line.content.rstrip(b"\r\n") + b"\n")


def _checked(
    services: AdministrationServices, source: _Source, line: Line, seen: dict[str, int]
) -> tuple[ImportedUser | None, str]:
    """Return the user of a line, or the errors in it."""
    if line.record is None:
        return None, line.fault
    try:
        user = source.check(services, line.record)
    except InvalidFields as error:
        return None, faults_of(error)
    first = seen.setdefault(user.email_key, line.number)
    return (user, "") if first == line.number else (None, f"email: is the same as in line {first}")


async def _import_lines(
    services: AdministrationServices, source: _Source, digests: Sequence[bytes]
) -> int:
    """Import every valid line, each batch in a transaction; return how many users are new.

    ``digests`` are those of the checked batches: no other content is imported.
    """
    new = 0
    seen: dict[str, int] = {}
    batches = read_batches(source.file, source.read, "importing")
    for batch, digest in zip_longest(batches, digests):
        if batch is None or batch.digest != digest:
            raise click.ClickException("The file changed while it was read: start again.")
        checked = [_checked(services, source, line, seen) for line in batch.lines]
        users = [user for user, _ in checked if user is not None]
        new += len(await services.transfer.import_users(users))
    return new
