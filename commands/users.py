"""``manage.py users``: the users, and what an administrator changes about them."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import click

from commands.administrator import (
    Administrator,
    AlreadyExists,
    NotFoundError,
    as_json,
    shown_time,
)
from commands.terminal import confirm, print_documents, print_json, prompt_secret, say
from commands.transfer import export_users, import_users
from db.rows import UserStateRow
from rules.errors import EmailTaken, InvalidFields
from services.administration import UserNotFound
from services.all_services import AdministrationServices

Result = TypeVar("Result")


email_argument = click.argument("email")
limit = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)


@click.group()
def users() -> None:
    """Manage users."""


users.add_command(import_users)
users.add_command(export_users)


@users.command("list")
@limit
@click.option("--after", default="", metavar="EMAIL", help="Start after this address.")
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
    """List users by email address, one page at a time."""
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
    """List users whose email address or name contains TEXT."""
    found = administrator.run(
        lambda services: services.users.find_page(after="", limit=limit, text=text)
    )
    _print_users(found, as_json=as_json)


@users.command()
@email_argument
@as_json
@click.pass_obj
def show(administrator: Administrator, email: str, as_json: bool) -> None:
    """Show a user, with the last login and the numbers of tokens and of failures."""
    details = _with(administrator, email, lambda services: services.users.get(email))
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
@email_argument
@click.option("--name")
@click.pass_obj
def add(administrator: Administrator, email: str, name: str | None) -> None:
    """Add a user; prompt for the password, or read it from standard input."""
    password = _read_password()
    try:
        user = administrator.run(lambda services: services.users.add(email, password, name))
    except EmailTaken:
        raise AlreadyExists(f"A user with the email address {email} already exists.") from None
    except InvalidFields as error:
        raise _usage_error(error) from None
    say(user.id)


@users.command("set-password")
@email_argument
@click.pass_obj
def set_password(administrator: Administrator, email: str) -> None:
    """Set a password, from a prompt or standard input, and revoke all tokens."""
    password = _read_password()
    try:
        _with(administrator, email, lambda services: services.users.set_password(email, password))
    except InvalidFields as error:
        raise _usage_error(error) from None


@users.command()
@email_argument
@click.pass_obj
def disable(administrator: Administrator, email: str) -> None:
    """Disable a user at once, and revoke all tokens."""
    _with(administrator, email, lambda services: services.users.disable(email))


@users.command()
@email_argument
@click.pass_obj
def enable(administrator: Administrator, email: str) -> None:
    """Enable a user who was disabled or had too many failed attempts."""
    _with(administrator, email, lambda services: services.users.enable(email))


@users.command("revoke-tokens")
@email_argument
@click.pass_obj
def revoke_tokens(administrator: Administrator, email: str) -> None:
    """Revoke all tokens of a user; print how many."""
    say(str(_with(administrator, email, lambda services: services.users.revoke_tokens(email))))


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
@email_argument
@click.option("--yes", is_flag=True, help="Do not prompt for confirmation.")
@click.pass_obj
def delete(administrator: Administrator, email: str, yes: bool) -> None:
    """Delete a user and all personal data, and revoke all tokens."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Not a terminal: pass --yes.")
        confirm(f"Delete {email}?")
    _with(administrator, email, lambda services: services.users.delete(email))


def _with(
    administrator: Administrator,
    email: str,
    work: Callable[[AdministrationServices], Awaitable[Result]],
) -> Result:
    """Do some work with a user; raises NotFoundError if the user does not exist."""
    try:
        return administrator.run(work)
    except UserNotFound:
        raise NotFoundError(f"No user has the email address {email}.") from None


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
