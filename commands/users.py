"""``manage.py users``: who has an account, and what an administrator does about it."""

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
from commands.terminal import ask_secret, confirm, print_documents, print_json, say
from commands.transfer import export_users, import_users
from db.rows import UserStateRow
from rules.errors import EmailTaken, InvalidFields
from services.administration import UserNotFound
from services.all_services import Services

Result = TypeVar("Result")


email_argument = click.argument("email")
limit = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)


@click.group()
def users() -> None:
    """People who have an account."""


users.add_command(import_users)
users.add_command(export_users)


@users.command("list")
@limit
@click.option("--after", default="", metavar="EMAIL", help="Begin after this one.")
@click.option("--disabled", is_flag=True, help="Only those who are disabled.")
@as_json
@click.pass_obj
def list_users(
    administrator: Administrator,
    limit: int,
    after: str,
    disabled: bool,  # noqa: FBT001 - click's way
    as_json: bool,  # noqa: FBT001
) -> None:
    """List users by e-mail address, a page at a time."""
    found = administrator.run(
        lambda services: services.administration.find_page(
            after=after, limit=limit, only_disabled=disabled
        )
    )
    _print_users(found, as_json=as_json)
    if len(found) == limit:
        say(f"There may be more: --after {found[-1].email}", err=True)


@users.command()
@click.argument("text")
@limit
@as_json
@click.pass_obj
def search(administrator: Administrator, text: str, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List users with a text in the e-mail address or the name."""
    found = administrator.run(
        lambda services: services.administration.find_page(after="", limit=limit, text=text)
    )
    _print_users(found, as_json=as_json)


@users.command()
@email_argument
@as_json
@click.pass_obj
def show(administrator: Administrator, email: str, as_json: bool) -> None:  # noqa: FBT001
    """Show a user: tokens, the last log-in, and wrong passwords in a row."""
    details = _with(administrator, email, lambda services: services.administration.get(email))
    document = {
        **_document(details.state),
        "good_tokens": details.valid_tokens,
        "failures_in_a_row": details.consecutive_failures,
        "last_log_in": shown_time(details.last_log_in),
    }
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        say(f"{name.replace('_', ' '):<18} {'-' if value is None else value}")


@users.command()
@email_argument
@click.option("--name")
@click.pass_obj
def add(administrator: Administrator, email: str, name: str | None) -> None:
    """Make an account; the password is asked for, or read from standard input."""
    password = _ask_password()
    try:
        user = administrator.run(
            lambda services: services.administration.add(email, password, name)
        )
    except EmailTaken:
        raise AlreadyExists(f"{email} has an account already.") from None
    except InvalidFields as error:
        raise _refusal(error) from None
    say(user.id)


@users.command("set-password")
@email_argument
@click.pass_obj
def set_password(administrator: Administrator, email: str) -> None:
    """Set a password, asked for or read from standard input; all tokens are ended."""
    password = _ask_password()
    try:
        _with(
            administrator,
            email,
            lambda services: services.administration.set_password(email, password),
        )
    except InvalidFields as error:
        raise _refusal(error) from None


@users.command()
@email_argument
@click.pass_obj
def disable(administrator: Administrator, email: str) -> None:
    """Keep a user out, at once; all tokens are ended."""
    _with(administrator, email, lambda services: services.administration.disable(email))


@users.command()
@email_argument
@click.pass_obj
def enable(administrator: Administrator, email: str) -> None:
    """Let a user in again, who was disabled or had too many wrong passwords."""
    _with(administrator, email, lambda services: services.administration.enable(email))


@users.command("end-tokens")
@email_argument
@click.pass_obj
def end_tokens(administrator: Administrator, email: str) -> None:
    """End all tokens of a user; print how many."""
    say(
        str(
            _with(
                administrator, email, lambda services: services.administration.revoke_tokens(email)
            )
        )
    )


@users.command()
@email_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(administrator: Administrator, email: str, yes: bool) -> None:  # noqa: FBT001
    """Delete a user, with all that is personal; all tokens are ended."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Say --yes: there is nobody to ask.")
        confirm(f"Delete {email}?")
    _with(administrator, email, lambda services: services.administration.delete(email))


def _with(
    administrator: Administrator, email: str, work: Callable[[Services], Awaitable[Result]]
) -> Result:
    """Do some work with a user who has to be there."""
    try:
        return administrator.run(work)
    except UserNotFound:
        raise NotFoundError(f"Nobody has the e-mail address {email}.") from None


def _ask_password() -> str:
    if sys.stdin.isatty():
        return ask_secret("Password")
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not in UTF-8.") from None


def _refusal(error: InvalidFields) -> click.ClickException:
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
