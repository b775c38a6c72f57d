"""``manage.py users``: the users, and what an administrator changes about them."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import click

from commands.administrator import (
    Administrator,
    AlreadyExists,
    as_json,
    shown_time,
    user_argument,
    user_not_found,
)
from commands.explain import explain
from commands.terminal import confirm, counted, print_documents, print_json, prompt_secret, say
from commands.transfer import export_users, import_users
from db.rows import UserStateRow
from rules.errors import EmailTaken, InvalidFields
from services.administration import Change, UserNotFound
from services.all_services import AdministrationServices

Result = TypeVar("Result")


limit = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=50,
    show_default=True,
    help="Show at most N rows.",
)


@click.group()
def users() -> None:
    """Manage users, named by email address or ID."""


users.add_command(import_users)
users.add_command(export_users)
users.add_command(explain)


@users.command("list")
@limit
@click.option("--after", default="", metavar="EMAIL", help="Start after this email address.")
@click.option("--disabled", is_flag=True, help="List disabled users only.")
@as_json
@click.pass_obj
def list_users(
    administrator: Administrator,
    limit: int,
    after: str,
    disabled: bool,
    as_json: bool,
) -> None:
    """List users by email address."""
    found = administrator.run(
        lambda services: services.users.find_page(after=after, limit=limit, only_disabled=disabled)
    )
    _print_users(found, as_json=as_json)
    if len(found) == limit:
        say(f"There may be more; for the next page pass --after {found[-1].email}", err=True)


@users.command()
@click.argument("text")
@limit
@as_json
@click.pass_obj
def search(administrator: Administrator, text: str, limit: int, as_json: bool) -> None:
    """Find users by part of the email address, name or ID."""
    found = administrator.run(
        lambda services: services.users.find_page(after="", limit=limit, text=text)
    )
    _print_users(found, as_json=as_json)


@users.command()
@user_argument
@as_json
@click.pass_obj
def show(administrator: Administrator, user: str, as_json: bool) -> None:
    """Show a user: status, valid tokens, last login, failures."""
    details = _with(administrator, user, lambda services: services.users.get(user))
    document = {
        **_document(details.state),
        "valid_tokens": details.valid_tokens,
        "consecutive_failures": details.consecutive_failures,
        "last_log_in": shown_time(details.last_log_in),
    }
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        say(f"{name.replace('_', ' '):<21} {'-' if value is None else value}")


@users.command()
@click.argument("email")
@click.option("--name", metavar="NAME", help="Display name.")
@click.pass_obj
def add(administrator: Administrator, email: str, name: str | None) -> None:
    """Create a user; asks for the password.

    Reads it from a line of standard input if that is not a terminal. Prints the ID of the user.
    """
    password = _read_password()
    try:
        user = administrator.run(lambda services: services.users.add(email, password, name))
    except EmailTaken:
        raise AlreadyExists(f"A user with the email address {email} already exists.") from None
    except InvalidFields as error:
        raise _usage_error(error) from None
    say(user.id)


@users.command("set-password")
@user_argument
@click.pass_obj
def set_password(administrator: Administrator, user: str) -> None:
    """Set a new password and revoke all tokens.

    Asks for the password, or reads it from a line of standard input if that is not a terminal. The
    waits of the account after failed attempts end.
    """
    password = _read_password()
    try:
        change = _with(
            administrator, user, lambda services: services.users.set_password(user, password)
        )
    except InvalidFields as error:
        raise _usage_error(error) from None
    _confirm(f"Set the password of {change.email}", change)


@users.command()
@user_argument
@click.pass_obj
def disable(administrator: Administrator, user: str) -> None:
    """Block a user and revoke all tokens."""
    change = _with(administrator, user, lambda services: services.users.disable(user))
    done = "Disabled {}" if change.is_new else "{} was disabled already"
    _confirm(done.format(change.email), change)


@users.command()
@user_argument
@click.pass_obj
def enable(administrator: Administrator, user: str) -> None:
    """Unblock a disabled or locked user.

    The waits of the account after failed attempts end. Those of IP addresses remain: see throttle.
    """
    change = _with(administrator, user, lambda services: services.users.enable(user))
    done = "Enabled {}" if change.is_new else "{} was not disabled"
    _confirm(done.format(change.email), change)


@users.command("revoke-tokens")
@user_argument
@click.pass_obj
def revoke_tokens(administrator: Administrator, user: str) -> None:
    """Revoke all tokens of a user."""
    change = _with(administrator, user, lambda services: services.users.revoke_tokens(user))
    say(f"Revoked {counted(change.revoked_tokens, 'token')} of {change.email}.")


# The previous name, accepted for one release.
users.add_command(
    click.Command(
        "end-tokens",
        callback=revoke_tokens.callback,
        params=revoke_tokens.params,
        hidden=True,
        deprecated="Use revoke-tokens.",
    )
)


@users.command()
@user_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def delete(administrator: Administrator, user: str, yes: bool) -> None:
    """Delete a user, with all personal data and tokens."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Standard input is not a terminal; pass --yes to confirm.")
        confirm(f"Delete {user}?")
    change = _with(administrator, user, lambda services: services.users.delete(user))
    _confirm(f"Deleted {change.email}", change)


def _with(
    administrator: Administrator,
    user: str,
    work: Callable[[AdministrationServices], Awaitable[Result]],
) -> Result:
    """Do some work with a user; raises NotFoundError if the user does not exist."""
    try:
        return administrator.run(work)
    except UserNotFound:
        raise user_not_found(user) from None


def _confirm(done: str, change: Change) -> None:
    """Print what was done."""
    parts = [done]
    if change.revoked_tokens:
        parts.append(f"{counted(change.revoked_tokens, 'token')} revoked")
    if change.ended_waits:
        parts.append("failed attempts reset")
    say("; ".join(parts) + ".")


def _read_password() -> str:
    if sys.stdin.isatty():
        return prompt_secret("Password")
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input must be UTF-8.") from None


def _usage_error(error: InvalidFields) -> click.ClickException:
    return click.ClickException(
        "; ".join(f"{each.field} {each.message}" for each in error.errors) + "."
    )


def _print_users(found: Sequence[UserStateRow], *, as_json: bool) -> None:
    titles = ("EMAIL", "NAME", "ID", "CREATED", "DISABLED")
    print_documents(titles, [_document(user) for user in found], as_json=as_json)


def _document(user: UserStateRow) -> dict[str, str | None]:
    return {
        "email": user.email,
        "name": user.name,
        "id": user.id,
        "created_at": shown_time(user.created_at),
        "disabled_at": shown_time(user.disabled_at),
    }
