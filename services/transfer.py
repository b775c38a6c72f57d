"""The import of users with their password hashes, and their export."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from db import transfer
from db.rows import ImportedUser
from rules import emails, imported_hashes, names
from rules.field_errors import FieldErrors
from rules.origin import LocalOrigin
from rules.password_scheme import is_own
from rules.passwords import PasswordHasher
from services.core import Core
from services.event_kinds import EventKind
from services.reservations import Reservations
from services.transactions import connection_to, transaction_on

_PAGE = 2000
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user of another service."""

    email: str
    password_hash: str = field(repr=False)
    name: str | None = None
    created_at: datetime | None = None
    disabled_at: datetime | None = None


class Transfer:
    """Imports and exports users."""

    def __init__(
        self,
        core: Core,
        *,
        hasher: PasswordHasher,
        reservations: Reservations,
        origin: LocalOrigin,
    ) -> None:
        self._core = core
        self._database = core.database
        self._audit = core.audit
        self._hasher = hasher
        self._reservations = reservations
        self._origin = origin

    def check(self, record: UserRecord, *, allow_expensive: bool = False) -> ImportedUser:
        """Return the user of a record; raises InvalidFields with all errors.

        The password is not known, and nothing is hashed. ``allow_expensive`` is that of
        imported_hashes.check().
        """
        check_hash = partial(self._check_hash, allow_expensive=allow_expensive)
        errors = FieldErrors()
        address = errors.check("email", emails.normalize_email, record.email) or ""
        name = errors.check("name", names.normalize_name, record.name)
        errors.check("password_hash", check_hash, record.password_hash)
        errors.check("created_at", self._check_time, record.created_at)
        errors.check("disabled_at", self._check_time, record.disabled_at)
        errors.raise_if_any()
        return ImportedUser(
            email=address,
            email_key=emails.email_key(address),
            name=name,
            password_hash=record.password_hash,
            created_at=record.created_at or self._core.now(),
            disabled_at=record.disabled_at,
        )

    async def find_taken(self, imported: Sequence[ImportedUser]) -> set[str]:
        """Return the keys of the email addresses that are taken already."""
        async with connection_to(self._database) as connection:
            return await transfer.find_taken(connection, [user.email_key for user in imported])

    async def import_users(self, imported: Sequence[ImportedUser]) -> set[str]:
        """Insert users in one transaction; return the keys of those that are new.

        Users whose email address is taken already are skipped; reservations of the others end.
        """
        async with transaction_on(self._database) as transaction:
            connection = transaction.connection
            inserted = await transfer.insert_users(connection, imported)
            await self._reservations.end(connection, [key for _, key in inserted])
            await self._audit.write_for_users(
                connection, EventKind.IMPORTED, self._origin, inserted
            )
        return {key for _, key in inserted}

    async def export_users(self) -> AsyncIterator[ImportedUser]:
        """Write an event, and yield every user in the order of their email addresses."""
        await self._audit.record(EventKind.EXPORTED, self._origin)
        after = ""
        while True:
            async with connection_to(self._database) as connection:
                page = await transfer.find_users(connection, after=after, limit=_PAGE)
            for user in page:
                yield user
            if len(page) < _PAGE:
                return
            after = page[-1].email_key

    def _check_hash(self, stored: str, *, allow_expensive: bool) -> None:
        if is_own(stored):
            self._hasher.scheme.check(stored)
        else:
            imported_hashes.check(stored, allow_expensive=allow_expensive)

    def _check_time(self, time: datetime) -> None:
        # Postgres stores times that Python cannot represent in every time zone.
        if not _EARLIEST <= time <= self._core.now():
            raise ValueError("must be a time since 1900, and not in the future")
