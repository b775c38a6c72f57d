"""``manage.py users import`` and ``users export``: users from and for other services."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic_core import to_json

from commands.administrator import Administrator, AlreadyExists
from commands.terminal import counted, say
from commands.user_files import FIELDS, Line, Reader, reader
from db.rows import ImportedUser
from rules.errors import InvalidFields
from services.all_services import AdministrationServices
from services.transfer import UserRecord

_BATCH = 2000
_MAX_FAULTS_SHOWN = 1000


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
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
@click.option("--dry-run", is_flag=True, help="Check the file; import nothing.")
@click.pass_obj
def import_users(
    administrator: Administrator,
    file: Path,
    form: str | None,
    allow_expensive: bool,
    dry_run: bool,
) -> None:
    """Import users with their password hashes.

    FILE contains JSON lines, or CSV with a header: email, password_hash, and optionally name,
    created_at and disabled_at (RFC 3339). All lines are checked first; if one is invalid, none is
    imported. Users with an existing email address are skipped, so an interrupted import can be
    repeated.
    """
    source = _Source(file, reader(file, form), allow_expensive=allow_expensive)
    say(administrator.run(lambda services: _import(services, source, dry_run=dry_run)))


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export_users(administrator: Administrator, file: Path) -> None:
    """Export all users with their password hashes.

    Writes JSON lines to a new FILE, which only you can read. users import accepts it.
    """

    async def write(services: AdministrationServices) -> int:
        count = 0
        async for user in services.transfer.export_users():
            document = {name: getattr(user, name) for name in FIELDS}
            target.write(to_json(document) + b"\n")
            count += 1
        return count

    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{file} already exists: choose another name.") from None
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    try:
        with os.fdopen(number, "wb") as target:
            count = administrator.run(write)
    except BaseException:
        # A partial file could be mistaken for a complete one.
        file.unlink()
        raise
    say(f"Exported {counted(count, 'user')}.")


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of users, how to read it, and which hashes in it to accept."""

    file: Path
    read: Reader
    allow_expensive: bool

    def check(self, services: AdministrationServices, record: UserRecord) -> ImportedUser:
        """Return the user of a record; raises InvalidFields."""
        return services.transfer.check(record, allow_expensive=self.allow_expensive)


async def _import(services: AdministrationServices, source: _Source, *, dry_run: bool) -> str:
    """Check every line, then import them; return a summary."""
    lines, existing = await _check(services, source)
    if dry_run:
        return f"Would import {counted(lines - existing, 'user')}{_skipping(existing)}"
    new = await _import_lines(services, source)
    return f"Imported {counted(new, 'user')}{_skipping(lines - new)}"


def _skipping(existing: int) -> str:
    return f"; skipped {existing} that already exist." if existing else "."


async def _check(services: AdministrationServices, source: _Source) -> tuple[int, int]:
    """Return the number of lines, and of those whose email address exists.

    Prints what is wrong with invalid lines, and raises ClickException if there are any.
    """
    lines = invalid = existing = 0
    seen: dict[str, int] = {}
    for batch in _batches(source, "checking"):
        checked = [_checked(services, source, line, seen) for line in batch]
        for line, (_, fault) in zip(batch, checked, strict=True):
            invalid += bool(fault)
            if fault and invalid <= _MAX_FAULTS_SHOWN:
                say(f"line {line.number}: {fault}", err=True)
        users = [user for user, _ in checked if user is not None]
        existing += len(await services.transfer.find_taken(users))
        lines += len(batch)
    if invalid:
        raise click.ClickException(f"{invalid} of {lines} lines are invalid: nothing was imported.")
    return lines, existing


def _checked(
    services: AdministrationServices, source: _Source, line: Line, seen: dict[str, int]
) -> tuple[ImportedUser | None, str]:
    """Return the user of a line, or what is wrong with it."""
    if line.record is None:
        return None, line.fault
    try:
        user = source.check(services, line.record)
    except InvalidFields as error:
        return None, "; ".join(f"{each.field}: {each.message}" for each in error.errors)
    first = seen.setdefault(user.email_key, line.number)
    return (user, "") if first == line.number else (None, f"email: is the same as in line {first}")


async def _import_lines(services: AdministrationServices, source: _Source) -> int:
    """Import every line, a batch in a transaction; return how many users are new."""
    new = 0
    for lines in _batches(source, "importing"):
        records = [line.record for line in lines if line.record is not None]
        if len(records) < len(lines):
            raise click.ClickException("The file changed while it was read: start again.")
        users = [source.check(services, record) for record in records]
        new += len(await services.transfer.import_users(users))
    return new


def _batches(source: _Source, label: str) -> Iterator[Sequence[Line]]:
    """Yield the lines of a file in batches, and show the progress."""
    size = source.file.stat().st_size
    with source.file.open("rb") as lines, click.progressbar(length=size, label=label) as bar:
        done = 0
        batch: list[Line] = []
        for line in source.read(lines):
            batch.append(line)
            if len(batch) == _BATCH:
                yield batch
                bar.update(line.end - done)
                done, batch = line.end, []
        if batch:
            yield batch
        bar.update(size - done)
