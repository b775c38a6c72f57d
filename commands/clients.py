"""``manage.py clients``: services that may introspect and revoke tokens."""

import click

from commands.administrator import (
    Administrator,
    AlreadyExists,
    NotFoundError,
    as_json,
    shown_time,
)
from commands.terminal import print_documents, print_json, say
from services.clients import ClientNameTaken, ClientNotFound, ClientSecret

_LONGEST_NAME = 100


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    name = value.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise click.BadParameter(f"give 1 to {_LONGEST_NAME} printable characters")
    return name


name_argument = click.argument("name", callback=_name)


@click.group()
def clients() -> None:
    """Services that may introspect and revoke tokens."""


@clients.command()
@name_argument
@as_json
@click.pass_obj
def add(administrator: Administrator, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Make a client and print its id and secret, this once."""
    try:
        made = administrator.run(lambda services: services.clients.add(name))
    except ClientNameTaken:
        raise AlreadyExists(f"There is a client {name} already.") from None
    _print_secret(name, made, as_json=as_json)


@clients.command("list")
@as_json
@click.pass_obj
def list_clients(administrator: Administrator, as_json: bool) -> None:  # noqa: FBT001
    """List the clients, by name."""
    rows = administrator.run(lambda services: services.clients.find_all())
    documents = [
        {
            "name": row.name,
            "id": row.id,
            "created_at": shown_time(row.created_at),
            "secret_made_at": shown_time(row.secret_made_at),
            "old_secret_until": shown_time(row.old_secret_until),
        }
        for row in rows
    ]
    titles = ("NAME", "ID", "CREATED", "SECRET MADE", "OLD SECRET UNTIL")
    print_documents(titles, documents, as_json=as_json)


@clients.command()
@name_argument
@click.option(
    "--keep-old-seconds",
    type=click.IntRange(0, 30 * 86400),
    default=86400,
    show_default=True,
    help="How long the old secret stays good.",
)
@as_json
@click.pass_obj
def rotate(
    administrator: Administrator,
    name: str,
    keep_old_seconds: int,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Give a client a new secret and print it, this once."""
    try:
        made = administrator.run(
            lambda services: services.clients.rotate(name, keep_old_seconds=keep_old_seconds)
        )
    except ClientNotFound:
        raise NotFoundError(f"There is no client {name}.") from None
    _print_secret(name, made, as_json=as_json)


@clients.command()
@name_argument
@click.pass_obj
def remove(administrator: Administrator, name: str) -> None:
    """Remove a client; its secrets are good no more."""
    try:
        administrator.run(lambda services: services.clients.remove(name))
    except ClientNotFound:
        raise NotFoundError(f"There is no client {name}.") from None


def _print_secret(name: str, made: ClientSecret, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "id": made.client_id, "secret": made.secret})
        return
    say(f"id      {made.client_id}")
    say(f"secret  {made.secret}")
    say("Keep the secret now: it is not shown again.", err=True)
