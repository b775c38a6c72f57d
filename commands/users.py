"""``manage.py users``: changes of users by an administrator."""

import sys

import click

from commands.account_links import invite, reset_link
from commands.administrator import (
    Administrator,
    already_exists,
    usage_error,
    user_argument,
    with_user,
)
from commands.explain import explain
from commands.terminal import confirm, prompt_secret, say
from commands.transfer import export_users, import_users
from commands.user_lists import list_users, search, show
from rules.counting import counted
from rules.errors import EmailTaken, InvalidFields
from services.administration import Change
from settings.choices import Language

_DEFAULT = "default"


@click.group()
def users() -> None:
    """Manage users, named by email address or ID."""


for command in (list_users, search, show, explain, invite, reset_link, import_users, export_users):
    users.add_command(command)


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
        raise already_exists(email) from None
    except InvalidFields as error:
        raise usage_error(error) from None
    say(user.id)


@users.command("set-password")
@user_argument
@click.pass_obj
def set_password(administrator: Administrator, user: str) -> None:
    """Set a new password and revoke all tokens.

    Asks for the password, or reads it from a line of standard input if that is not a terminal.
    Also ends throttling of the account, on all networks with recent failures.
    """
    password = _read_password()
    try:
        change = with_user(
            administrator, user, lambda services: services.users.set_password(user, password)
        )
    except InvalidFields as error:
        raise usage_error(error) from None
    _report(f"Set the password of {change.email}", change)


@users.command()
@user_argument
@click.pass_obj
def verify(administrator: Administrator, user: str) -> None:
    """Mark the email address of a user as verified.

    Make sure that the user owns it: other services may rely on that.
    """
    change = with_user(administrator, user, lambda services: services.users.verify(user))
    say(f"Verified {change.email}." if change.is_new else f"{user} was already verified.")


@users.command("set-language")
@user_argument
@click.argument("language", type=click.Choice([*map(str, Language), _DEFAULT]))
@click.pass_obj
def set_language(administrator: Administrator, user: str, language: str) -> None:
    """Set the language of messages to a user.

    The default is that of mail.language.
    """
    chosen = None if language == _DEFAULT else language
    change = with_user(
        administrator, user, lambda services: services.users.set_language(user, chosen)
    )
    if change.is_new:
        say(f"Set the language of {change.email} to {language}.")
    else:
        say(f"The language of {user} was already {language}.")


@users.command()
@user_argument
@click.pass_obj
def disable(administrator: Administrator, user: str) -> None:
    """Block a user and revoke all tokens."""
    change = with_user(administrator, user, lambda services: services.users.disable(user))
    done = f"Disabled {change.email}" if change.is_new else f"{user} was already disabled"
    _report(done, change)


@users.command()
@user_argument
@click.pass_obj
def enable(administrator: Administrator, user: str) -> None:
    """Unblock a disabled or locked user.

    Also ends throttling of the account, on all networks with recent failures. Throttling of IP
    addresses remains: see throttle clear.
    """
    change = with_user(administrator, user, lambda services: services.users.enable(user))
    done = f"Enabled {change.email}" if change.is_new else f"{user} was not disabled"
    _report(done, change)


@users.command("revoke-tokens")
@user_argument
@click.pass_obj
def revoke_tokens(administrator: Administrator, user: str) -> None:
    """Revoke all tokens of a user."""
    change = with_user(administrator, user, lambda services: services.users.revoke_tokens(user))
    # Each access to an email address must be audited. Without a change there is no event, so the
    # address is not shown.
    whose = change.email if change.is_new else user
    say(f"Revoked {counted(change.revoked_tokens, 'token')} of {whose}.")


# The previous name, accepted for one release.
users.add_command(
    click.Command(
        "end-tokens",
        help="Revoke all tokens of a user; the previous name of revoke-tokens.",
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
    change = with_user(administrator, user, lambda services: services.users.delete(user))
    _report(f"Deleted {change.email}", change)


def _report(done: str, change: Change) -> None:
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
        # PowerShell adds a byte order mark to piped text.
        return sys.stdin.buffer.readline().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not UTF-8.") from None
