"""The import of users with their password hashes, and their export."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from db import transfer
from db.rows import ImportedUser
from rules import emails, imported_hashes, names
from rules.account_rules import AccountRules
from rules.field_errors import FieldErrors
from rules.origin import LocalOrigin
from rules.password_scheme import is_own
from rules.passwords import PasswordHasher
from services.core import Core
from services.event_kinds import EventKind
from services.reservations import Reservations
from services.transactions import connection_to, transaction_on
from settings.choices import Language

_PAGE = 2000
# The password hash of a Django user without a password begins with this.
_UNUSABLE = "!"
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user of another service; without a password, ``password_hash`` is empty or "!…"."""

    email: str
    password_hash: str = field(repr=False)
    name: str | None = None
    created_at: datetime | None = None
    disabled_at: datetime | None = None
    email_verified_at: datetime | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Records that an import accepts although it rejects them by default.

    ``allow_expensive`` is that of imported_hashes.check(); ``without_password`` accepts users who
    have no password.
    """

    allow_expensive: bool = False
    without_password: bool = False


class Transfer:
    """Imports and exports users."""

    def __init__(
        self,
        core: Core,
        *,
        hasher: PasswordHasher,
        rules: AccountRules,
        reservations: Reservations,
        origin: LocalOrigin,
    ) -> None:
        self._core = core
        self._database = core.database
        self._audit = core.audit
        self._hasher = hasher
        self._rules = rules
        self._reservations = reservations
        self._origin = origin

    def check(self, record: UserRecord, options: ImportOptions) -> ImportedUser:
        """Return the user of a record; raises InvalidFields with all errors.

        The password is not known, and nothing is hashed.
        """
        check_hash = partial(self._accepted_hash, options=options)
        errors = FieldErrors()
        address = errors.check("email", self._rules.normalize_email, record.email) or ""
        name = errors.check("name", names.normalize_name, record.name)
        stored = errors.check("password_hash", check_hash, record.password_hash) or ""
        for each in ("created_at", "disabled_at", "email_verified_at"):
            errors.check(each, self._check_time, getattr(record, each))
        language = errors.check("language", _check_language, record.language)
        errors.raise_if_any()
        return ImportedUser(
            email=address,
            email_key=emails.email_key(address),
            name=name,
            password_hash=stored,
            created_at=record.created_at or self._core.now(),
            disabled_at=record.disabled_at,
            email_verified_at=record.email_verified_at,
            language=language,
        )

    async def find_taken(self, imported: Sequence[ImportedUser]) -> set[str]:
        """Return the keys of the email addresses that are already taken."""
        async with connection_to(self._database) as connection:
            return await transfer.find_taken(connection, [user.email_key for user in imported])

    async def import_users(self, imported: Sequence[ImportedUser]) -> set[str]:
        """Insert users in one transaction; return the keys of those that are new.

        Users whose email address is already taken are skipped; reservations of the others end.
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

    def _accepted_hash(self, stored: str, options: ImportOptions) -> str:
        if not stored or stored.startswith(_UNUSABLE):
            if options.without_password:
                return self._hasher.scheme.unusable()
            raise ValueError(
                "no password can match; --without-password imports users who have none"
            )
        if is_own(stored):
            self._hasher.scheme.check(stored)
        else:
            imported_hashes.check(stored, allow_expensive=options.allow_expensive)
        return stored

    def _check_time(self, time: datetime) -> None:
        # Postgres stores times that Python cannot represent in every time zone.
        if not _EARLIEST <= time <= self._core.now():
            raise ValueError("must be a time since 1900, and not in the future")


def _check_language(language: str) -> str:
    if language not in list(Language):
        raise ValueError(f"must be one of {', '.join(Language)}")
    return language
