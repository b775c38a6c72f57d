"""Why the server or a command cannot start."""

from collections.abc import Iterator
from contextlib import contextmanager

from db.errors import DatabaseError, InvalidUrl, SchemaError, Unavailable, WrongPooler
from postgres.embedded import EmbeddedPostgresError
from rules.keys import KeysFileError, KeysFileNotWritten
from transport.certificate import CertificateError


class StartError(Exception):
    """The server cannot start; the message gives the reason and the remedy."""


class WrongSettings(StartError):
    """The server cannot start with these settings, however often it tries."""


# The errors when a server or its services are opened; each message is for the administrator.
START_ERRORS = (StartError, EmbeddedPostgresError, KeysFileError, CertificateError)
# Those that remain until the settings, or the files that they name, are corrected: systemd does not
# start the server again. If a keys file cannot be written, the disk may just be full.
_FAULTS_OF_SETTINGS = (WrongSettings, InvalidUrl, KeysFileError, CertificateError)


@contextmanager
def database_advice() -> Iterator[None]:
    """Turn an error of the database into a StartError that advises the administrator."""
    try:
        yield
    except InvalidUrl as error:
        raise WrongSettings(str(error)) from error
    except DatabaseError as error:
        raise StartError(advice(error)) from error


def advice(error: DatabaseError) -> str:
    """Return what the administrator should do about a database that cannot be used."""
    if isinstance(error, SchemaError):
        return str(error)
    if isinstance(error, WrongPooler):
        return f"Postgres cannot be used (see docs/database.md): {error}"
    if isinstance(error, Unavailable):
        return error.explanation
    return (
        f"Postgres cannot be used: {error}. Check the options in {error.setting}, and that its"
        " role may create tables."
    )


def exit_code_of(error: Exception) -> int:
    """Return the exit code of the server, or of a command, after an error."""
    if isinstance(error, KeysFileNotWritten):
        return 1
    return 2 if isinstance(error, _FAULTS_OF_SETTINGS) else 1
