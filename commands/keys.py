"""``manage.py keys``: the signing keys in the keys file."""

import json
from pathlib import Path

import click

from commands.administrator import Administrator, as_json
from commands.terminal import print_json, print_table, say
from rules.keys import read_keys
from rules.tokens import key_id
from settings import Settings

_NEXT_STEP = "Now send SIGHUP to every server process."


@click.group()
def keys() -> None:
    """Manage the signing keys in the file that tokens.keys_file names."""


@keys.command("list")
@as_json
@click.pass_obj
def list_keys(administrator: Administrator, as_json: bool) -> None:
    """List the ids of the keys, newest first, and whether valid tokens need them."""
    ids = [key_id(key) for key in read_keys(_file(administrator.settings))]
    in_use = administrator.run(lambda services: services.signing_keys.find_in_use())
    documents = [
        {"id": name, "signs": index == 0, "needed": name in in_use or None in in_use}
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
    """Add a new key, which signs once the servers have received SIGHUP; print its id."""
    file = _file(administrator.settings)
    say(administrator.run(lambda services: services.signing_keys.add(file)))
    say(_NEXT_STEP, err=True)


@keys.command()
@click.pass_obj
def retire(administrator: Administrator) -> None:
    """Remove the keys that no valid token needs, but never the newest; print their ids."""
    file = _file(administrator.settings)
    retired = administrator.run(lambda services: services.signing_keys.retire(file))
    for each in retired:
        say(each)
    say(_NEXT_STEP if retired else "No key was removed.", err=True)


def _file(settings: Settings) -> Path:
    if settings.tokens.keys or settings.tokens.keys_file is None:
        raise click.UsageError(
            "The keys are not in a file: unset SECRET_KEYS and set tokens.keys_file,"
            " or rotate the keys in SECRET_KEYS by hand."
        )
    return settings.tokens.keys_file
