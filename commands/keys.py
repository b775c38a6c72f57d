"""``manage.py keys``: the keys that sign tokens, in the keys file."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from commands.administrator import Administrator, as_json
from commands.terminal import print_json, print_table, say
from rules.keys import add_key, read_keys, remove_keys
from rules.origin import LocalOrigin
from rules.tokens import key_id
from services.all_services import Services
from services.event_kinds import EventKind
from settings import Settings


@click.group()
def keys() -> None:
    """Keys that sign tokens, in the file that tokens.keys_file names."""


@keys.command("list")
@as_json
@click.pass_obj
def list_keys(administrator: Administrator, as_json: bool) -> None:  # noqa: FBT001
    """List the keys by their ids, newest first, and whether living tokens need them."""
    ids = [key_id(key) for key in read_keys(_file(administrator.settings))]
    needed = administrator.run(lambda services: services.tokens.find_keys_in_use())
    documents = [
        {"id": name, "signs": index == 0, "needed": name in needed or None in needed}
        for index, name in enumerate(ids)
    ]
    if as_json:
        print_json(documents)
        return
    rows = [[json.dumps(value).strip('"') for value in row.values()] for row in documents]
    print_table(("ID", "SIGNS", "NEEDED"), rows)


@keys.command()
@click.pass_obj
def add(administrator: Administrator) -> None:
    """Put a new key first; it signs as soon as the servers were sent SIGHUP."""
    file = _file(administrator.settings)
    origin = administrator.administration
    say(administrator.run(lambda services: _add(services, file, origin)))
    say("Now send SIGHUP to every server process.", err=True)


@keys.command()
@click.pass_obj
def retire(administrator: Administrator) -> None:
    """Drop the keys that no living token needs, but never the newest; print their ids."""
    file = _file(administrator.settings)
    origin = administrator.administration
    dropped = administrator.run(lambda services: _retire(services, file, origin))
    for key in dropped:
        say(key_id(key))
    say("Now send SIGHUP to every server process." if dropped else "Nothing to drop.", err=True)


async def _add(services: Services, file: Path, origin: LocalOrigin) -> str:
    added = key_id(add_key(file))
    await services.audit.record(EventKind.KEY_ADDED, origin, key_id=added)
    return added


async def _retire(services: Services, file: Path, origin: LocalOrigin) -> Sequence[str]:
    _newest, *older = read_keys(file)
    needed = await services.tokens.find_keys_in_use()
    # None: tokens from before the server wrote down which key signed them. Any key may be theirs.
    dropped = [] if None in needed else [key for key in older if key_id(key) not in needed]
    if dropped:
        remove_keys(file, dropped)
    for key in dropped:
        await services.audit.record(EventKind.KEY_RETIRED, origin, key_id=key_id(key))
    return dropped


def _file(settings: Settings) -> Path:
    if settings.tokens.keys or settings.tokens.keys_file is None:
        raise click.UsageError(
            "The keys do not come from a file: unset SECRET_KEYS and set tokens.keys_file,"
            " or rotate them by hand in SECRET_KEYS."
        )
    return settings.tokens.keys_file
