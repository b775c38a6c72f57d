"""Sessions of browsers: a separate kind of token, in a cookie."""

from dataclasses import dataclass
from datetime import timedelta

from db.rows import SessionRow, UserRow
from rules.errors import TokenInvalid
from rules.origin import Origin
from rules.tokens import TokenClaims, TokenKind, TokenSigner
from services.core import Core
from services.identities import Identity, TokenProof
from services.logins import Logins, SignedToken, TokenLimits
from services.transactions import result_of
from services.usage import TokenUsage
from settings.sessions import SessionSettings

_INVALID = "Sign in again: the session is not valid."
# A use this close to the end of the idle time is written at once: the others are written every ten
# seconds, and another process would reject the next request meanwhile.
_CLOSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A session for the cookie of a browser; ``is_kept`` if it outlasts the browser."""

    signed: SignedToken
    expires_in: int
    is_kept: bool

    @property
    def token(self) -> str:
        """Return the value of the cookie."""
        return self.signed.value


@dataclass(frozen=True, slots=True)
class Session:
    """A valid session: its user, and whether it outlasts the browser."""

    token_id: str
    user: UserRow
    is_kept: bool

    @property
    def identity(self) -> Identity:
        """Return the identity, for calls that also accept a token."""
        return Identity(self.user, TokenProof(self.token_id, TokenKind.SESSION))


class Sessions:
    """Creates, identifies and revokes sessions."""

    def __init__(
        self,
        core: Core,
        *,
        logins: Logins,
        signer: TokenSigner,
        usage: TokenUsage,
        settings: SessionSettings,
    ) -> None:
        self._core = core
        self._logins = logins
        self._signer = signer
        self._usage = usage
        self._settings = settings

    async def create(
        self,
        identity: Identity,
        origin: Origin,
        *,
        keep_signed_in: bool,
        replaced: str | None = None,
    ) -> IssuedSession:
        """Create a session of an identity proved by password.

        ``replaced`` is the cookie that the browser sent, valid or not: its session is revoked,
        even if it belongs to another user. If the user has ``max_per_user`` sessions, the oldest
        is revoked. Raises CredentialsInvalid if the password was changed after it was verified.
        """
        limits = self._limits(keep_signed_in=keep_signed_in)
        claims = None if replaced is None else self._read(replaced)
        signed = await self._logins.log_in(
            identity, limits, origin, replaced_session=None if claims is None else claims.token_id
        )
        return IssuedSession(signed, limits.lifetime_seconds, keep_signed_in)

    async def identify(self, cookie: str, origin: Origin) -> Session:
        """Return the session of a cookie, and record its use; raises TokenInvalid."""
        claims = self._read(cookie)
        if claims is None:
            raise TokenInvalid(_INVALID)
        row = await result_of(self._core.lookups.sessions.find(claims.token_id))
        if row is None:
            raise TokenInvalid(_INVALID)
        await self._use(claims.token_id, row, origin)
        return Session(
            token_id=claims.token_id,
            user=row.user,
            is_kept=row.idle_until is None,
        )

    async def revoke(self, session: Session, origin: Origin) -> None:
        """Revoke a session; one that is already revoked remains so."""
        await self._logins.log_out(session.identity, origin)

    def sign_replacement(self, session: Session, origin: Origin) -> IssuedSession:
        """Return a session that Accounts.update() inserts in place of all sessions of the user."""
        limits = self._limits(keep_signed_in=session.is_kept)
        signed = self._logins.sign(session.user.id, limits, origin)
        return IssuedSession(signed, limits.lifetime_seconds, session.is_kept)

    async def _use(self, token_id: str, row: SessionRow, origin: Origin) -> None:
        """Record a use; raises TokenInvalid if the session has been idle for too long."""
        now = self._core.now()
        if row.idle_until is not None and row.idle_until <= now:
            raise TokenInvalid(_INVALID)
        self._usage.note(token_id, origin.user_ip)
        if row.idle_until is not None and row.idle_until <= now + _CLOSE:
            await self._usage.write_now(token_id, origin.user_ip)

    def _read(self, cookie: str) -> TokenClaims | None:
        try:
            return self._signer.read(cookie, TokenKind.SESSION)
        except TokenInvalid:
            return None

    def _limits(self, *, keep_signed_in: bool) -> TokenLimits:
        settings = self._settings
        lifetime = settings.kept_lifetime_seconds if keep_signed_in else settings.lifetime_seconds
        return TokenLimits(
            kind=TokenKind.SESSION,
            lifetime_seconds=lifetime,
            max_idle=None if keep_signed_in else timedelta(seconds=settings.idle_seconds),
            max_per_user=settings.max_per_user,
        )
