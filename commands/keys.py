"""``manage.py keys``: the signing keys, in SECRET_KEYS or in the keys file."""

from collections.abc import Sequence
from pathlib import Path

import click

from commands.administrator import Administrator, as_json, shown_time
from commands.terminal import print_documents, say
from rules.keys import read_keys
from rules.tokens import key_id
from settings import Settings

_NEXT_STEP = (
    "{}, reload every server: systemctl reload userauth, with several processes systemctl reload"
    " 'userauth@*.service', or kill -HUP PID; restart one that runs in a terminal."
)


@click.group()
def keys() -> None:
    """List the signing keys, and rotate those in tokens.keys_file."""


@keys.command("list")
@as_json
@click.pass_obj
def list_keys(administrator: Administrator, as_json: bool) -> None:
    """List signing keys and show which are in use.

    The newest key comes first. It signs new tokens, so it is always needed. An older key is needed
    until the last valid token or message that depends on it expires.
    """
    titles = ("ID", "SIGNS", "NEEDED", "NEEDED UNTIL")
    print_documents(titles, _documents(administrator), as_json=as_json)


@keys.command()
@click.pass_obj
def add(administrator: Administrator) -> None:
    """Add a signing key to tokens.keys_file.

    Servers use it after a reload. Rotate keys in SECRET_KEYS by hand.
    """
    file = _file(administrator.settings)
    say(administrator.run(lambda services: services.signing_keys.add(file)))
    say(_NEXT_STEP.format("Key added. To use it"), err=True)


@keys.command()
@click.pass_obj
def retire(administrator: Administrator) -> None:
    """Remove signing keys that no valid token or message needs.

    They must be in tokens.keys_file. The newest key remains. Prints the IDs of the removed keys.
    """
    file = _file(administrator.settings)
    retired = administrator.run(lambda services: services.signing_keys.retire(file))
    for each in retired:
        say(each)
    if retired:
        say(_NEXT_STEP.format("Keys removed. To complete this"), err=True)
        return
    say("No key was removed.", err=True)
    for document in _documents(administrator)[1:]:
        say(f"Key {document['id']} is needed until {document['needed_until']}.", err=True)


def _documents(administrator: Administrator) -> list[dict[str, str | bool | None]]:
    """Return the keys, newest first, and until when valid tokens need each of them."""
    ids = [key_id(key) for key in _keys(administrator.settings)]
    in_use = administrator.run(lambda services: services.signing_keys.find_in_use())
    documents: list[dict[str, str | bool | None]] = []
    for name in ids:
        # Tokens with an unknown key may need any of them.
        until = [in_use[each] for each in (name, None) if each in in_use]
        documents.append(
            {
                "id": name,
                "signs": name == ids[0],
                "needed": bool(until) or name == ids[0],
                "needed_until": shown_time(max(until)) if until else None,
            }
        )
    return documents


def _keys(settings: Settings) -> Sequence[str]:
    """Return the keys, newest first."""
    if settings.tokens.keys:
        return [key.get_secret_value() for key in settings.tokens.keys]
    if settings.tokens.keys_file is None:
        raise click.UsageError("There are no keys: set SECRET_KEYS or tokens.keys_file.")
    return read_keys(settings.tokens.keys_file)


def _file(settings: Settings) -> Path:
    if settings.tokens.keys or settings.tokens.keys_file is None:
        raise click.UsageError(
            "The keys are not in a file: unset SECRET_KEYS and set tokens.keys_file,"
            " or rotate the keys in SECRET_KEYS by hand."
        )
    return settings.tokens.keys_file
