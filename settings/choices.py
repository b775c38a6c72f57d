"""Values of settings that are one of a few words."""

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
    """What may answer a lookup that decides who gets in.

    A Postgres that takes itself for the primary, or only one whose synchronous standby follows it.
    """

    PRIMARY = "primary"
    ACKNOWLEDGED = "acknowledged"


class Verification(StrEnum):
    """Whether a new user has to prove the email address: not, at any time, or before anything."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"
