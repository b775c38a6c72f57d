"""``manage.py throttle``: the waits after failed attempts."""

from collections.abc import Callable, Sequence

import click

from commands.administrator import (
    Administrator,
    Command,
    NotFoundError,
    as_json,
    limit_option,
    not_empty,
    shown_time,
    with_user,
)
from commands.ip_addresses import IpAddress, find_ip
from commands.terminal import print_documents, print_json, say
from rules.counting import counted
from services.named_users import is_user_id
from services.throttle_subjects import is_subject
from services.wait_administration import WaitAdministration
from services.waits import Wait

_TITLES = ("KIND", "FAILURES", "UNTIL", "LOCKED", "USER", "USER ID", "NETWORK", "KEY")


def _addresses_option(text: str) -> Callable[[Command], Command]:
    return click.option(
        "--address", "addresses", type=IpAddress(), multiple=True, metavar="IP", help=text
    )


@click.group()
def throttle() -> None:
    """Show and end waits after too many failed attempts."""


@throttle.command("list")
@_addresses_option("Recognize this IP address too; can be repeated.")
@limit_option(100)
@as_json
@click.pass_obj
def list_waits(
    administrator: Administrator, addresses: Sequence[str], limit: int, as_json: bool
) -> None:
    """List accounts and IP addresses that have to wait.

    Those with the most failures come first. The database contains digests: users are recognized by
    their email addresses, networks by the IP addresses of recent failures in the audit trail.
    """
    found = administrator.run(lambda services: services.waits.find_all(addresses, limit=limit))
    print_documents(_TITLES, [_document(each) for each in found], as_json=as_json)
    if len(found) == limit:
        say("There may be more; specify a higher --limit.", err=True)


@throttle.command()
@click.argument("target", metavar="EMAIL|ID|IP|KEY", callback=not_empty)
@_addresses_option("End the wait of the account at this IP address too; can be repeated.")
@as_json
@click.pass_obj
def clear(
    administrator: Administrator, target: str, addresses: Sequence[str], as_json: bool
) -> None:
    """End the waits of an account or IP address.

    For an account, ends its waits on all networks with recent failures in the audit trail; for an
    IP address, those for all accounts together, for clients and for registrations. KEY is that of
    a row of the list.
    """
    ip = find_ip(target)
    is_account = "@" in target or is_user_id(target)
    if not (is_account or ip or is_subject(target)):
        raise click.UsageError(f"{target} is not an email address, ID, IP address or KEY.")
    if addresses and not is_account:
        raise click.UsageError("--address is for an account: specify its email address or ID.")
    ended = with_user(
        administrator, target, lambda services: _end(services.waits, target, ip, addresses)
    )
    if as_json:
        print_json({"cleared": ended})
    if not ended:
        raise NotFoundError(f"No failed attempts are counted for {target}.")
    if not as_json:
        say(f"Cleared {counted(ended, 'count')} of failed attempts.")


async def _end(
    waits: WaitAdministration, target: str, ip: str | None, addresses: Sequence[str]
) -> int:
    if is_subject(target):
        return await waits.end_one(target)
    if ip:
        return await waits.end_for_address(ip)
    return await waits.end_for_user(target, addresses)


def _document(wait: Wait) -> dict[str, str | int | bool | None]:
    count = wait.count
    return {
        "kind": wait.kind,
        "failures": count.failures,
        "until": shown_time(count.next_at),
        "locked": bool(count.is_locked),
        "email": wait.user.email if wait.user else None,
        "user_id": wait.user.id if wait.user else None,
        "network": wait.network,
        "key": count.subject,
    }
