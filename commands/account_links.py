"""``manage.py users invite`` and ``reset-link``: links to set a password."""

import click

from commands.administrator import (
    Administrator,
    already_exists,
    usage_error,
    user_argument,
    with_user,
)
from commands.terminal import say
from rules.errors import EmailTaken, InvalidFields
from services.account_links import UserDisabled


@click.command()
@click.argument("email")
@click.option("--name", metavar="NAME", help="Display name.")
@click.option("--print-link", "prints", is_flag=True, help="Print the link; send nothing.")
@click.pass_obj
def invite(administrator: Administrator, email: str, name: str | None, *, prints: bool) -> None:
    """Create a user, and send a link to set a password.

    The link is valid once, for 7 days. Prints the ID of the user, or the link if you pass
    --print-link or the server sends no messages.
    """
    try:
        made = administrator.run(
            lambda services: services.account_links.invite(email, name, prints=prints)
        )
    except EmailTaken:
        raise already_exists(email) from None
    except InvalidFields as error:
        raise usage_error(error) from None
    if made.link is None:
        say(made.user.id)
        say(f"A message with a link goes to {made.user.email}.", err=True)
        return
    say(made.link)
    _warn(administrator, made.user.email, "7 days")


@click.command("reset-link")
@user_argument
@click.pass_obj
def reset_link(administrator: Administrator, user: str) -> None:
    """Print a link to set a new password.

    The link is valid once, for an hour. Nothing is sent. A person with the link takes over the
    account: first make sure that the request comes from the owner.
    """
    try:
        made = with_user(
            administrator, user, lambda services: services.account_links.make_reset_link(user)
        )
    except UserDisabled:
        raise click.ClickException(f"{user} is disabled: run users enable first.") from None
    say(made.link or "")
    _warn(administrator, made.user.email, "an hour")


def _warn(administrator: Administrator, email: str, lifetime: str) -> None:
    say(f"It sets the password of {email}, once, within {lifetime}. Keep it secret.", err=True)
    server, mail = administrator.settings.server, administrator.settings.mail
    if not (mail.links_to or server.public_url):
        # The server may have been started with another port.
        say(f"It works if the server uses port {server.port}; otherwise set PORT.", err=True)
