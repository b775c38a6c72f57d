"""The secrets of the server: the keys that sign tokens, and the certificate."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rules.keys import KeysFile, KeysFileError, check_keys, read_keys, read_or_create_keys
from settings import HOW_TO_MAKE_A_KEY, Profile, Settings
from settings.secret_strength import is_guessable
from transport.certificate import Certificate
from wiring.errors import WrongSettings


def signing_keys(settings: Settings) -> Sequence[str]:
    """Return the signing keys, newest first, from the settings or from the keys file.

    Outside production, a keys file that is missing is created with one key.
    """
    if settings.tokens.keys:
        return [key.get_secret_value() for key in settings.tokens.keys]
    if settings.tokens.keys_file is None:
        raise WrongSettings("there is no signing key: set SECRET_KEYS or tokens.keys_file.")
    if settings.profile is Profile.PRODUCTION:
        return _read_checked_keys(settings, settings.tokens.keys_file)
    return read_or_create_keys(settings.tokens.keys_file)


def check_signing_keys(settings: Settings) -> None:
    """Raise the error that signing_keys would raise, without creating a keys file."""
    file = settings.tokens.keys_file
    if settings.profile is Profile.PRODUCTION or settings.tokens.keys or file is None:
        signing_keys(settings)
    else:
        check_keys(file)


def keys_file(settings: Settings) -> KeysFile | None:
    """Return the file with the signing keys, or None if the settings contain them."""
    file = settings.tokens.keys_file
    if settings.tokens.keys or file is None:
        return None
    return KeysFile(file, partial(_read_checked_keys, settings))


def _read_checked_keys(settings: Settings, file: Path) -> tuple[str, ...]:
    """Return the keys in a file; in production, check them like keys in the settings."""
    keys, name = read_keys(file), f"tokens.keys_file {file}"
    if settings.profile is Profile.PRODUCTION:
        if any(map(is_guessable, keys)):
            raise KeysFileError(f"{name} contains a key that can be guessed; {HOW_TO_MAKE_A_KEY}")
        if {pepper.get_secret_value() for pepper in settings.passwords.pepper} & set(keys):
            raise KeysFileError(f"{name} contains a key that passwords.pepper contains too.")
    return keys


def links_origin(settings: Settings) -> str:
    """Return the origin of links that commands print; raises WrongSettings if none is set."""
    is_named = settings.mail.links_to or settings.server.public_url
    if settings.profile is Profile.PRODUCTION and not is_named:
        raise WrongSettings("links begin with server.public_url: set it, or mail.links_to.")
    return settings.links_origin


def read_certificate(settings: Settings) -> Certificate | None:
    """Return the certificate for HTTPS, or None if the settings name none."""
    certificate, private_key = settings.server.certificate, settings.server.private_key
    if certificate is None or private_key is None:
        return None
    return Certificate(certificate, private_key)
