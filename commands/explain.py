"""``manage.py users explain``: why a user cannot log in."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from commands.administrator import (
    PROGRAM,
    Administrator,
    NotFoundError,
    as_json,
    shown_time,
    user_argument,
    user_not_found,
)
from commands.ip_addresses import IpAddress
from commands.terminal import print_json, say
from db.rows import CountStateRow, EventRow
from rules.counting import counted
from services.login_diagnosis import LoginDiagnosis
from services.throttle_subjects import CountKind
from services.waits import Wait
from settings.choices import Verification

_NOTHING = (
    "Nothing prevents a login: the password may be wrong, or the requests do not reach the server."
)
_UNCERTAIN = "No reason was found, but other waits may apply to this user."
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why logins are rejected, until when, if known, and the command that ends it."""

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

    Without --address, it checks the IP addresses of recent failed attempts, and lists waits of
    others that may be the user's.
    """
    found = administrator.run(lambda services: services.logins.diagnose(user, address))
    is_required = administrator.settings.registration.verification is Verification.REQUIRED
    document = _document(found, address, requires_verified=is_required)
    if as_json:
        print_json(document)
    else:
        for line in _lines(document) if found.user else _failure_lines(document):
            say(line)
    if found.user is None:
        raise _not_found(user, found)


def _not_found(user: str, found: LoginDiagnosis) -> NotFoundError:
    parts = [user_not_found(user).format_message()]
    if found.similar:
        parts.append(f"Similar: {', '.join(each.email for each in found.similar)}.")
    if found.reserved_until:
        until = shown_time(found.reserved_until)
        parts.append(f"A deleted user had it; it can be registered again after {until}.")
    return NotFoundError(" ".join(parts))


def _document(
    found: LoginDiagnosis, address: str | None, *, requires_verified: bool
) -> dict[str, Any]:
    user, login = found.user, found.last_login
    return {
        "email": user.email if user else None,
        "id": user.id if user else None,
        "email_verified_at": shown_time(user.email_verified_at) if user else None,
        "similar": [{"email": each.email, "id": each.id} for each in found.similar],
        "reserved_until": shown_time(found.reserved_until),
        "reasons": [
            asdict(each) for each in _reasons(found, address, requires_verified=requires_verified)
        ],
        "possible_waits": [asdict(_possible(each)) for each in found.possible_waits[:_MAX_SHOWN]],
        "possible_waits_count": len(found.possible_waits),
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


def _reasons(
    found: LoginDiagnosis, address: str | None, *, requires_verified: bool
) -> Iterator[_Reason]:
    user = found.user
    if user is None:
        return
    # Commands contain the id: users choose their email addresses, which a shell may interpret.
    if user.disabled_at:
        since = shown_time(user.disabled_at)
        yield _Reason("disabled", f"disabled since {since}", None, _enable(user.id))
    if requires_verified and not user.email_verified_at:
        message = "unverified, and registration.verification is required"
        yield _Reason("unverified", message, None, f"{PROGRAM} users verify {user.id}")
    if found.account is not None and found.account.is_waiting:
        yield from _account_reasons(found.account, found.is_usual_network, user.id)
    for wait in found.waits:
        yield _wait_reason(wait, user.id, wait.network or address or "")


def _account_reasons(
    account: CountStateRow, is_usual_network: bool | None, user_id: str
) -> Iterator[_Reason]:
    command = _enable(user_id)
    failures = counted(account.failures, "consecutive failure")
    has_usual = account.usual_network is not None
    if account.is_locked_everywhere or (account.is_locked and not has_usual):
        yield _Reason("locked", f"locked everywhere after {failures}", None, command)
    elif is_usual_network:
        # Failures from other networks do not affect the usual one.
        return
    elif account.is_locked:
        message = f"locked after {failures}, except in the network of the last login"
        yield _Reason("locked-elsewhere", message, None, command)
    else:
        until = shown_time(account.next_at)
        exception = ", except in the network of the last login" if has_usual else ""
        message = f"throttled until {until} after {failures}{exception}"
        yield _Reason("throttled", message, until, command)


def _enable(user_id: str) -> str:
    return f"{PROGRAM} users enable {user_id}"


def _wait_reason(wait: Wait, user_id: str, network: str) -> _Reason:
    until = shown_time(wait.count.next_at)
    if wait.kind is CountKind.PAIR:
        failures = counted(wait.count.failures, "failed attempt")
        message = f"throttled at {network} until {until} after {failures} of this account there"
        # Not "users enable", which only ends waits in networks that the audit trail contains.
        command = f"{PROGRAM} throttle clear {user_id} --address {_ip(network)}"
        return _Reason("throttled-pair", message, until, command)
    command = f"{PROGRAM} throttle clear {_ip(network)}"
    return _Reason("throttled-address", _all_throttled(wait, network), until, command)


def _possible(wait: Wait) -> _Reason:
    """Return a wait that applies to the user if the IP address is the user's."""
    until, network = shown_time(wait.count.next_at), wait.network or "unknown"
    target = _ip(wait.network) if wait.network else wait.count.subject
    clear = f"{PROGRAM} throttle clear {target}"
    if wait.kind is CountKind.ADDRESS:
        return _Reason("throttled-address", _all_throttled(wait, network), until, clear)
    failures = counted(wait.count.failures, "failed attempt")
    message = f"throttled at {network} until {until} after {failures} of an unknown account there"
    return _Reason("throttled-pair", message, until, clear)


def _all_throttled(wait: Wait, network: str) -> str:
    failures = counted(wait.count.failures, "failed attempt")
    until = shown_time(wait.count.next_at)
    return f"IP address {network} throttled until {until} after {failures} of all accounts there"


def _ip(network: str) -> str:
    return network.partition("/")[0]


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['email']} ({document['id']})"
    for reason in document["reasons"]:
        yield f"  {reason['message']}; to end it: {reason['command']}"
    if not document["reasons"]:
        yield f"  {_UNCERTAIN if document['possible_waits'] else _NOTHING}"
    yield from _possible_lines(document)
    for wait in document["next_waits"]:
        of_all = "" if wait["kind"] is CountKind.PAIR else " of all accounts"
        failures = f"{counted(wait['failures'], 'failed attempt')}{of_all} from {wait['network']}"
        yield f"  {failures}; the next one starts a wait of {wait['seconds']:g} s"
    if document["usual_network"] is not None:
        where = "is in" if document["usual_network"] else "is not in"
        yield f"  The IP address {where} the network of the last login."
    login = document["last_login"]
    yield f"  Last login: {_at(login['at'], login['ip']) if login else 'none'}"
    yield from _failure_lines(document)


def _failure_lines(document: dict[str, Any]) -> Iterator[str]:
    for failure in document["failures"]:
        times = f", {failure['times']} times" if failure["times"] > 1 else ""
        yield f"  {_at(failure['at'], failure['ip'])}: {failure['kind']}{times}"


def _possible_lines(document: dict[str, Any]) -> Iterator[str]:
    shown = document["possible_waits"]
    for reason in shown:
        yield f"  may apply to this user: {reason['message']}; to end it: {reason['command']}"
    if more := document["possible_waits_count"] - len(shown):
        waits = counted(more, "further wait")
        yield f"  may apply to this user: {waits}; see {PROGRAM} throttle list"
    if shown:
        command = f"{PROGRAM} users explain {document['id']} --address IP"
        yield f"  To find out, pass the IP address of the user: {command}"


def _at(time: str, ip: str | None) -> str:
    return f"{time} from {ip}" if ip else time
