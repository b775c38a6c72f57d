"""``manage.py users explain``: why a user cannot log in."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from commands.administrator import (
    Administrator,
    IpAddress,
    NotFoundError,
    as_json,
    shown_time,
    user_argument,
    user_not_found,
)
from commands.terminal import counted, print_json, say
from db.rows import EventRow
from services.login_diagnosis import LoginDiagnosis
from services.throttle_subjects import CountKind
from services.waits import Wait

_NOTHING = (
    "Nothing prevents a login: the password may be wrong, or the requests do not reach the server."
)


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why logins are rejected, until when if that is known, and the command that ends it."""

    code: str
    message: str
    until: str | None
    command: str


@click.command()
@user_argument
@click.option("--address", type=IpAddress(), metavar="IP", help="The IP address of the user.")
@as_json
@click.pass_obj
def explain(administrator: Administrator, user: str, address: str | None, as_json: bool) -> None:
    """Show why a user cannot log in.

    Without --address, it checks the IP addresses of recent failed attempts.
    """
    found = administrator.run(lambda services: services.logins.diagnose(user, address))
    document = _document(found, address)
    if as_json:
        print_json(document)
    if found.user is None:
        raise _not_found(user, found)
    if not as_json:
        for line in _lines(document):
            say(line)


def _not_found(user: str, found: LoginDiagnosis) -> NotFoundError:
    parts = [user_not_found(user).format_message()]
    if found.similar:
        parts.append(f"Similar: {', '.join(each.email for each in found.similar)}.")
    if found.reserved_until:
        until = shown_time(found.reserved_until)
        parts.append(f"A deleted user had it; it can be registered again after {until}.")
    return NotFoundError(" ".join(parts))


def _document(found: LoginDiagnosis, address: str | None) -> dict[str, Any]:
    user, login = found.user, found.last_login
    return {
        "email": user.email if user else None,
        "id": user.id if user else None,
        "similar": [{"email": each.email, "id": each.id} for each in found.similar],
        "reserved_until": shown_time(found.reserved_until),
        "reasons": [asdict(each) for each in _reasons(found, address)],
        "next_waits": [_next_wait(each, address) for each in found.next_waits],
        "consecutive_failures": found.account.failures if found.account else 0,
        "usual_network": found.is_usual_network,
        "last_login": {"at": shown_time(login.at), "ip": login.ip} if login else None,
        "failures": [_failure(each) for each in found.failures],
    }


def _next_wait(wait: Wait, address: str | None) -> dict[str, str | int | float | None]:
    return {
        "kind": wait.kind,
        "network": wait.network or address,
        "failures": wait.count.failures,
        "seconds": wait.next_seconds,
    }


def _failure(event: EventRow) -> dict[str, str | int | None]:
    return {
        "at": shown_time(event.at),
        "kind": event.kind,
        "times": event.times,
        "ip": event.ip,
        "request_id": event.request_id,
    }


def _reasons(found: LoginDiagnosis, address: str | None) -> Iterator[_Reason]:
    if found.user is None:
        return
    email = found.user.email
    if found.user.disabled_at:
        since = shown_time(found.user.disabled_at)
        yield _Reason("disabled", f"disabled since {since}", None, f"users enable {email}")
    yield from _account_reasons(found, email)
    for wait in found.waits:
        yield _wait_reason(wait, email, address)


def _account_reasons(found: LoginDiagnosis, email: str) -> Iterator[_Reason]:
    account, command = found.account, f"users enable {email}"
    if account is None or not account.is_waiting:
        return
    failures = counted(account.failures, "consecutive failure")
    if account.is_locked_everywhere:
        yield _Reason("locked", f"locked everywhere after {failures}", None, command)
    elif found.is_usual_network:
        # Failures from other networks do not count there.
        return
    elif account.is_locked:
        message = f"locked after {failures}, except in the network of the last login"
        yield _Reason("locked-elsewhere", message, None, command)
    else:
        until = shown_time(account.next_at)
        message = (
            f"throttled until {until} after {failures}, except in the network of the last login"
        )
        yield _Reason("throttled", message, until, command)


def _wait_reason(wait: Wait, email: str, address: str | None) -> _Reason:
    until, network = shown_time(wait.count.next_at), wait.network or address or ""
    failures = counted(wait.count.failures, "failed attempt")
    if wait.kind is CountKind.PAIR:
        message = f"throttled at {network} until {until} after {failures} of this account there"
        return _Reason("throttled-pair", message, until, f"users enable {email}")
    message = f"IP address {network} throttled until {until} after {failures} of all accounts there"
    command = f"throttle clear {network.partition('/')[0]}"
    return _Reason("throttled-address", message, until, command)


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['email']} ({document['id']})"
    for reason in document["reasons"]:
        yield f"  {reason['message']}; to end it: {reason['command']}"
    if not document["reasons"]:
        yield f"  {_NOTHING}"
    for wait in document["next_waits"]:
        of_all = "" if wait["kind"] is CountKind.PAIR else " of all accounts"
        failures = f"{counted(wait['failures'], 'failed attempt')}{of_all} from {wait['network']}"
        yield f"  {failures}; the next one starts a wait of {wait['seconds']:g} s"
    if document["usual_network"] is not None:
        where = "is in" if document["usual_network"] else "is not in"
        yield f"  The IP address {where} the network of the last login."
    login = document["last_login"]
    yield f"  Last login: {_at(login['at'], login['ip']) if login else 'none'}"
    for failure in document["failures"]:
        times = f", {failure['times']} times" if failure["times"] > 1 else ""
        yield f"  {_at(failure['at'], failure['ip'])}: {failure['kind']}{times}"


def _at(time: str, ip: str | None) -> str:
    return f"{time} from {ip}" if ip else time
