"""``manage.py clients``: the applications that may introspect and revoke tokens."""

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

_MAX_NAME_LENGTH = 100


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    name = value.strip()
    if not name or len(name) > _MAX_NAME_LENGTH or not name.isprintable():
        raise click.BadParameter(f"must be 1 to {_MAX_NAME_LENGTH} printable characters")
    return name


name_argument = click.argument("name", callback=_name)


@click.group()
def clients() -> None:
    """Manage applications that may check and revoke tokens."""


@clients.command()
@name_argument
@as_json
@click.pass_obj
def add(administrator: Administrator, name: str, as_json: bool) -> None:
    """Create a client and print its secret once."""
    try:
        secret = administrator.run(lambda services: services.clients.add(name))
    except ClientNameTaken:
        raise AlreadyExists(f"A client named {name} already exists.") from None
    _print_secret(name, secret, as_json=as_json)


@clients.command("list")
@as_json
@click.pass_obj
def list_clients(administrator: Administrator, as_json: bool) -> None:
    """List clients by name."""
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
    titles = ("NAME", "ID", "CREATED", "SECRET CREATED", "OLD SECRET UNTIL")
    print_documents(titles, documents, as_json=as_json)


@clients.command()
@name_argument
@click.option(
    "--keep-old-seconds",
    type=click.IntRange(0, 30 * 86400),
    default=86400,
    show_default=True,
    metavar="N",
    help="Keep the old secret valid for N seconds.",
)
@as_json
@click.pass_obj
def rotate(
    administrator: Administrator,
    name: str,
    keep_old_seconds: int,
    as_json: bool,
) -> None:
    """Replace a client's secret and print it once."""
    try:
        secret = administrator.run(
            lambda services: services.clients.rotate(name, keep_old_seconds=keep_old_seconds)
        )
    except ClientNotFound:
        raise NotFoundError(f"No client is named {name}.") from None
    _print_secret(name, secret, as_json=as_json)


@clients.command()
@name_argument
@click.pass_obj
def remove(administrator: Administrator, name: str) -> None:
    """Delete a client; its secrets stop working at once."""
    try:
        administrator.run(lambda services: services.clients.remove(name))
    except ClientNotFound:
        raise NotFoundError(f"No client is named {name}.") from None
    say(f"Deleted client {name}.")


def _print_secret(name: str, secret: ClientSecret, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "id": secret.client_id, "secret": secret.secret})
        return
    say(f"id      {secret.client_id}")
    say(f"secret  {secret.secret}")
    say("Store the secret now: it is not shown again.", err=True)
