"""Settings whose value is one of a few words."""

from enum import StrEnum


class Language(StrEnum):
    """The languages of messages."""

    ENGLISH = "en"
    GERMAN = "de"


class Pooler(StrEnum):
    """The connection pooler between the server and Postgres, by its mode."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


class Reads(StrEnum):
    """Which Postgres may answer a lookup that authenticates a caller.

    Any that considers itself the primary, or only one whose synchronous standby acknowledges it.
    """

    PRIMARY = "primary"
    ACKNOWLEDGED = "acknowledged"


class Verification(StrEnum):
    """Whether new users verify the email address: never, at any time, or before they log in."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"
