"""Users on the move: in, with the hashes that they had elsewhere, and out again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from db import transfer
from db.rows import ImportedUser
from rules import emails, imported_hashes, names, passwords
from rules.field_errors import FieldErrors
from rules.origin import LocalOrigin
from services.audit import Kind
from services.core import Core
from services.reservations import Reservations
from services.transactions import connection_to, transaction_on

_PAGE = 2000
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as another service has it."""

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
        hasher: passwords.PasswordHasher,
        reservations: Reservations,
        origin: LocalOrigin,
    ) -> None:
        self._database = core.database
        self._audit = core.audit
        self._clock = core.clock
        self._hasher = hasher
        self._reservations = reservations
        self._origin = origin

    def check(self, record: UserRecord, *, allow_expensive: bool = False) -> ImportedUser:
        """Return the user that a record makes; raises InvalidFields with all that is wrong.

        The password cannot be looked at; nothing is hashed. ``allow_expensive`` is that of
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
            created_at=record.created_at or self._now(),
            disabled_at=record.disabled_at,
        )

    async def find_taken(self, moved: Sequence[ImportedUser]) -> set[str]:
        """Return the keys of the e-mail addresses among these that are somebody's already."""
        async with connection_to(self._database) as connection:
            return await transfer.find_taken(connection, [user.email_key for user in moved])

    async def import_users(self, moved: Sequence[ImportedUser]) -> set[str]:
        """Insert users, all in one transaction; return the keys of those that are new.

        Whoever has one of the e-mail addresses already stays as they are; reservations of the
        others end.
        """
        async with transaction_on(self._database) as connection:
            inserted = await transfer.insert_users(connection, moved)
            await self._reservations.end(connection, [key for _, key in inserted])
            await self._audit.write_for_users(connection, Kind.IMPORTED, self._origin, inserted)
        return {key for _, key in inserted}

    async def export_users(self) -> AsyncIterator[ImportedUser]:
        """Yield every user, by the key of the e-mail address, after an event that tells of it."""
        await self._audit.record(Kind.EXPORTED, self._origin)
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
        if passwords.is_ours(stored):
            self._hasher.check_ours(stored)
        else:
            imported_hashes.check(stored, allow_expensive=allow_expensive)

    def _check_time(self, time: datetime) -> None:
        # Postgres keeps times, in other zones, that cannot be read back.
        if not _EARLIEST <= time <= self._now():
            raise ValueError("must be a time since 1900 that is not to come")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
