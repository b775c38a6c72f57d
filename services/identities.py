"""Identities: users with the verified proof of who they are, which a later write checks again."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

from db.rows import PasswordRow, UserRow
from rules import emails
from rules.credentials import Credentials, PasswordCredentials, TokenCredentials
from rules.errors import (
    AccountDisabled,
    CredentialsInvalid,
    CredentialsMissing,
    EmailUnverified,
    TokenInvalid,
    TooManyAttempts,
)
from rules.hash_budget import HashBudget
from rules.origin import Origin
from rules.password_cache import PasswordCache
from rules.tokens import TokenKind, TokenSigner
from rules.turns import Caller
from services.core import Core
from services.event_kinds import EventKind
from services.throttle import Attempt, RecordedFailure, Throttle
from services.transactions import result_of
from services.usage import TokenUsage

_BASIC_REQUIRED = "Send an Authorization header: Basic with email and password."
_NO_RENEWAL = "Log in with email and password: a token cannot renew itself."
_WRONG_KIND = "Send the token that this call is about, not a password."


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """The password that was verified, and the row that it was verified against."""

    password: str = field(repr=False)
    stored: PasswordRow


@dataclass(frozen=True, slots=True)
class TokenProof:
    """The id of the token that was presented, and its kind."""

    token_id: str
    kind: TokenKind = TokenKind.TOKEN


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that sent a request, and how that was proved."""

    user: UserRow
    proof: PasswordProof | TokenProof

    @property
    def token_id(self) -> str | None:
        """Return the id of the token, or of the session, that was presented, if any."""
        return self.proof.token_id if isinstance(self.proof, TokenProof) else None

    def caller(self, origin: Origin) -> Caller:
        """Return the caller of a hash; the credential proves that the account logged in before."""
        return Caller.at(origin.ip, emails.email_key(self.user.email), is_known=True)

    @property
    def password_proof(self) -> PasswordProof:
        """Return the proof of a call that accepts passwords only."""
        if not isinstance(self.proof, PasswordProof):
            raise TypeError("The guard of this call accepts tokens.")
        return self.proof

    @property
    def credential(self) -> str:
        """Return a name for the credential: a token, or the password of the user."""
        return self.token_id or f"password of {self.user.id}"


@dataclass(frozen=True, slots=True)
class _Check:
    """The check of a password: the email address, the counted attempt, and the caller."""

    email_key: str
    attempt: Attempt
    caller: Caller
    stored: PasswordRow | None

    @property
    def user(self) -> UserRow | None:
        return self.stored.user if self.stored else None


class Identities:
    """Identifies users by the credentials of a request.

    ``BaseHandler.identify()`` maps the guard of a call to one of these methods; each rejects the
    kinds of credentials that it does not accept.
    """

    def __init__(
        self,
        core: Core,
        *,
        password_cache: PasswordCache,
        signer: TokenSigner,
        usage: TokenUsage,
        throttle: Throttle,
        hashes: HashBudget,
        requires_verified: bool,
    ) -> None:
        self._lookups = core.lookups
        self._audit = core.audit
        self._password_cache = password_cache
        self._signer = signer
        self._usage = usage
        self._throttle = throttle
        self._hashes = hashes
        self._requires_verified = requires_verified

    def identify(
        self, credentials: Credentials | None, origin: Origin, *, may_be_unverified: bool = False
    ) -> Awaitable[Identity]:
        """Identify a user by a password or a token.

        Raises a subclass of Unauthorized; by password also AccountDisabled, TooManyAttempts, or
        EmailUnverified unless ``may_be_unverified``.
        """
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            return self._identify_by_token(credentials.token, origin)
        return self._identify_by_password(
            credentials, origin, may_use_cache=True, may_be_unverified=may_be_unverified
        )

    async def identify_by_password(
        self, credentials: Credentials | None, origin: Origin
    ) -> Identity:
        """Identify a user by a password, which is always hashed; reject a token, even a valid one.

        A stolen token must not renew itself.
        """
        if credentials is None:
            raise CredentialsMissing(_BASIC_REQUIRED)
        if isinstance(credentials, TokenCredentials):
            raise TokenInvalid(_NO_RENEWAL)
        return await self._identify_by_password(credentials, origin, may_use_cache=False)

    async def identify_by_token(self, credentials: Credentials | None, origin: Origin) -> Identity:
        """Identify a user by a token; reject a password, even a correct one."""
        if isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid(_WRONG_KIND)
        return await self.identify(credentials, origin)

    async def confirm_password(self, identity: Identity, password: str, origin: Origin) -> bool:
        """Return whether a password is that of an identified user; counted as an attempt."""
        key = emails.email_key(identity.user.email)
        _, is_correct = await self._check_password(key, password, origin, may_use_cache=False)
        return is_correct

    async def _identify_by_token(self, token: str, origin: Origin) -> Identity:
        claims = self._signer.read(token)
        user = await result_of(self._lookups.users_of_tokens.find(claims.token_id))
        if user is None:
            raise TokenInvalid
        self._usage.note(claims.token_id, origin.user_ip)
        return Identity(user, TokenProof(claims.token_id))

    async def _identify_by_password(
        self,
        credentials: PasswordCredentials,
        origin: Origin,
        *,
        may_use_cache: bool,
        may_be_unverified: bool = False,
    ) -> Identity:
        key, password = emails.lookup_key(credentials.email), credentials.password
        check, is_correct = await self._check_password(
            key, password, origin, may_use_cache=may_use_cache
        )
        stored = check.stored
        if stored is None or not is_correct:
            raise CredentialsInvalid
        if stored.is_disabled:
            await self._audit.record(EventKind.LOGIN_DISABLED, origin, user=stored.user)
            raise AccountDisabled
        if self._requires_verified and not (stored.user.is_email_verified or may_be_unverified):
            raise EmailUnverified
        return Identity(stored.user, PasswordProof(password, stored))

    async def _check_password(
        self, email_key: str, password: str, origin: Origin, *, may_use_cache: bool
    ) -> tuple[_Check, bool]:
        """Return whether a password is the stored one, and the check; records a rejection."""
        try:
            check = await self._begin_check(email_key, origin)
            is_cached = may_use_cache and self._is_cached(check, password)
            return check, is_cached or await self._verify(check, password, origin)
        except TooManyAttempts:
            # Without the user: that lookup would make rejections in a flood more expensive.
            await self._audit.record(EventKind.LOGIN_REJECTED, origin, email_key=email_key)
            raise

    def _is_cached(self, check: _Check, password: str) -> bool:
        stored, network = check.stored, check.attempt.network
        return stored is not None and self._password_cache.matches(
            password, stored.password_hash, network
        )

    async def _begin_check(self, email_key: str, origin: Origin) -> _Check:
        """Look up the counts of an attempt, and the user.

        Raises TooManyAttempts first, also for cached passwords: the response must not reveal
        whether a guess is right while further attempts have to wait.
        """
        attempt = self._throttle.password_attempt(email_key, origin.ip)
        is_usual_network = await self._throttle.check(attempt)
        stored = await result_of(self._lookups.users_by_email.find(email_key))
        caller = Caller.at(origin.ip, email_key, is_known=is_usual_network)
        return _Check(email_key, attempt, caller, stored)

    async def _verify(self, check: _Check, password: str, origin: Origin) -> bool:
        """Hash a password, counted as an attempt; return whether it is the stored one.

        Raises TooManyAttempts or Overloaded. Takes as long for an unknown email address.
        """
        stored = check.stored
        user_id = stored.user.id if stored else None
        stored_hash = stored.password_hash if stored else None
        async with self._hashes.slot(check.caller, user_id=user_id, stored=stored_hash) as slot:
            failure = await self._throttle.record_failure(check.attempt)
            is_correct = await slot.verify(password, stored_hash)
        if stored is None or not is_correct:
            await self._record_failure(check, failure, origin)
            return False
        self._hashes.spend(stored.user.id)
        await self._throttle.record_success(check.attempt, failure)
        self._password_cache.add(password, stored.password_hash, check.attempt.network)
        return True

    async def _record_failure(
        self, check: _Check, failure: RecordedFailure, origin: Origin
    ) -> None:
        user, key = check.user, check.email_key
        await self._audit.record(EventKind.PASSWORD_FAILED, origin, user=user, email_key=key)
        if failure.is_newly_blocked:
            await self._audit.record(EventKind.THROTTLED, origin, user=user, email_key=key)
