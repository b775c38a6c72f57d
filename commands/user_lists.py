"""``manage.py users list``, ``search`` and ``show``: information about users."""

from collections.abc import Sequence

import click

from commands.administrator import (
    Administrator,
    as_json,
    limit_option,
    shown_time,
    user_argument,
    with_user,
)
from commands.terminal import print_documents, print_fields, print_json, say
from db.rows import UserStateRow


@click.command("list")
@limit_option(50)
@click.option("--after", default="", metavar="EMAIL|ID", help="Start after this user.")
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
    found = with_user(
        administrator,
        after,
        lambda services: services.users.find_page(after=after, limit=limit, only_disabled=disabled),
    )
    _print_users(found, as_json=as_json)
    if len(found) == limit:
        # By id: users choose their email addresses, which a shell may interpret.
        say(f"There may be more; for the next page pass --after {found[-1].id}", err=True)


@click.command()
@click.argument("text")
@limit_option(50)
@as_json
@click.pass_obj
def search(administrator: Administrator, text: str, limit: int, as_json: bool) -> None:
    """Find users by part of the email address, name or ID."""
    found = administrator.run(
        lambda services: services.users.find_page(after="", limit=limit, text=text)
    )
    _print_users(found, as_json=as_json)
    if len(found) == limit:
        say("There may be more; specify more of the text, or a higher --limit.", err=True)


@click.command()
@user_argument
@as_json
@click.pass_obj
def show(administrator: Administrator, user: str, as_json: bool) -> None:
    """Show a user: status, valid tokens, last login, failures."""
    details = with_user(administrator, user, lambda services: services.users.get(user))
    document = {
        **_document(details.state),
        "verify_until": shown_time(details.state.verify_until),
        "language": details.state.language,
        "valid_tokens": details.valid_tokens,
        "consecutive_failures": details.consecutive_failures,
        "last_login": shown_time(details.last_login),
    }
    if as_json:
        print_json(document)
        return
    print_fields(document)


def _print_users(found: Sequence[UserStateRow], *, as_json: bool) -> None:
    titles = ("EMAIL", "NAME", "ID", "CREATED", "DISABLED", "VERIFIED")
    print_documents(titles, [_document(user) for user in found], as_json=as_json)


def _document(user: UserStateRow) -> dict[str, str | None]:
    return {
        "email": user.email,
        "name": user.name,
        "id": user.id,
        "created_at": shown_time(user.created_at),
        "disabled_at": shown_time(user.disabled_at),
        "email_verified_at": shown_time(user.email_verified_at),
    }
