"""``manage.py audit``: the events of the audit trail."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click

from commands.administrator import (
    Administrator,
    NotFoundError,
    as_json,
    limit_option,
    shown_time,
)
from commands.ip_addresses import IpAddress
from commands.terminal import as_json_text, cells, print_cells, print_documents, say
from db.events import EventFilter
from db.rows import EventRow
from rules.emails import lookup_key
from rules.origin import LocalOrigin
from services.all_services import AdministrationServices
from services.event_kinds import EventKind
from services.named_users import is_user_id

_POLL_SECONDS = 1.0
_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_TITLES = (
    *("TIME", "KIND", "OUTCOME", "TIMES", "USER", "IP", "CLIENT", "KEY", "REQUEST", "ACTOR", "ID"),
)


class _Time(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        example = "write it as 2026-11-24T10:00:00Z, or as 90m, 1h or 7d before now"
        if match := _AGO.fullmatch(str(value)):
            try:
                return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
            except OverflowError:
                self.fail(f"too long ago; {example}", param, ctx)
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"not a time; {example}", param, ctx)
        if time.tzinfo is None:
            self.fail(f"no time zone; {example}", param, ctx)
        return time


@click.group()
def audit() -> None:
    """Read the audit trail."""


@audit.command("list")
@click.option(
    "--user", metavar="EMAIL|ID", help="Only events of this user, email address or deleted user."
)
@click.option("--user-id", type=click.UUID, metavar="ID", help="Only events of this user.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in EventKind]),
    metavar="KIND",
    help="Only events of this kind.",
)
@click.option(
    "--address",
    type=IpAddress(allows_networks=True),
    metavar="IP|NETWORK",
    help="Only events from this IP address or network.",
)
@click.option("--request", "request_id", metavar="ID", help="Only events of this request.")
@click.option(
    "--since",
    type=_Time(),
    help="Only events since TIME, such as 2026-11-24T10:00:00Z, or 7d for seven days ago.",
)
@click.option("--before", type=click.UUID, metavar="ID", help="Only events before this event.")
@limit_option(100, maximum=100_000)
@as_json
@click.pass_obj
def list_events(
    administrator: Administrator,
    *,
    user: str | None,
    user_id: UUID | None,
    kind: str | None,
    address: str | None,
    request_id: str | None,
    since: datetime | None,
    before: UUID | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, newest first."""
    if user and user_id and is_user_id(user):
        raise click.UsageError("Specify an id with --user or with --user-id, not with both.")
    wanted = EventFilter(
        user_id=str(user_id) if user_id else None,
        kind=kind,
        ip=address,
        request_id=request_id,
        since=since,
        before=str(before) if before else None,
    )
    found = administrator.run(
        lambda services: _find(services, administrator.origin, wanted, user, limit=limit)
    )
    print_documents(_TITLES, [_document(event) for event in found], as_json=as_json)
    if len(found) == limit:
        say(f"There may be more; for earlier events pass --before {found[-1].public_id}", err=True)


async def _find(
    services: AdministrationServices,
    origin: LocalOrigin,
    wanted: EventFilter,
    user: str | None,
    *,
    limit: int,
) -> list[EventRow]:
    """Return the events of a user, given by email address or id, or of all; write an event."""
    if wanted.before and not await services.audit.has_event(wanted.before):
        raise NotFoundError(f"No event has the ID {wanted.before}.")
    if user and is_user_id(user):
        wanted = replace(wanted, user_id=user)
    elif user:
        wanted = replace(wanted, email_digest=services.audit.email_digest(lookup_key(user)))
    found = await services.audit.find(wanted, limit=limit)
    # Afterwards, so that the list does not begin with it.
    await services.audit.record(EventKind.AUDIT_READ, origin)
    return found


@audit.command()
@as_json
@click.pass_obj
def follow(administrator: Administrator, as_json: bool) -> None:
    """Print events as they happen; stop with Ctrl-C."""
    try:
        administrator.run(lambda services: _follow(services, administrator.origin, as_json=as_json))
    except KeyboardInterrupt:
        say(err=True)


async def _follow(services: AdministrationServices, origin: LocalOrigin, *, as_json: bool) -> None:
    await services.event_stream.seek_end()
    # Before the others, so that it is printed: each reader sees who else reads the trail.
    await services.audit.record(EventKind.AUDIT_READ, origin)
    while True:
        found = await services.event_stream.read()
        for event in found:
            _print_one(_document(event), as_json=as_json)
        if not found:
            await asyncio.sleep(_POLL_SECONDS)


def _print_one(document: dict[str, str | None], *, as_json: bool) -> None:
    if as_json:
        say(as_json_text(document))
    else:
        print_cells(cells(document))


def _document(event: EventRow) -> dict[str, str | None]:
    return {
        "at": shown_time(event.at),
        "kind": event.kind,
        "outcome": event.outcome,
        "times": str(event.times),
        "user_id": event.user_id,
        "ip": event.ip,
        "client_id": event.client_id,
        "key_id": event.key_id,
        "request_id": event.request_id,
        "actor": event.actor,
        "id": event.public_id,
    }
