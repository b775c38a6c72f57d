"""The DSN of Postgres, with the name of its setting."""

from typing import Self

DATABASE_URL = "DATABASE_URL"


class Dsn(str):
    """A DSN from another setting than DATABASE_URL, which messages name."""

    __slots__ = ("setting",)

    setting: str

    def __new__(cls, dsn: str, setting: str) -> Self:
        """Return the DSN of a setting."""
        new = super().__new__(cls, dsn)
        new.setting = setting
        return new


def setting_of(dsn: str) -> str:
    """Return the name of the setting that contains a DSN."""
    return dsn.setting if isinstance(dsn, Dsn) else DATABASE_URL
