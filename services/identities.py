"""Who is asking: credentials verified, and the proof held on to."""

from asyncio import sleep as rest
from collections.abc import Awaitable
from dataclasses import dataclass, field

from db import tokens, users
from db.pool import Connection
from db.rows import PasswordRow, UserRow
from rules import emails
from rules.budget import Budget
from rules.credentials import Credentials, PasswordCredentials, TokenCredentials
from rules.errors import (
    AccountDisabled,
    CredentialsInvalid,
    CredentialsMissing,
    TokenInvalid,
    TooManyTries,
    Unauthorized,
)
from rules.origin import Origin
from rules.password_cache import PasswordCache
from rules.passwords import PasswordHasher
from rules.tokens import TokenSigner
from rules.turns import Caller
from services.audit import Kind
from services.core import Core
from services.throttle import Throttle, Try
from services.transactions import answer
from services.usage import TokenUsage

NO_RENEWAL = "Log in with e-mail and password: a token cannot renew itself."
WRONG_KIND = "Send the token that this call is about, not a password."


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """The password that somebody proved to know, and which version of it that was."""

    password: str = field(repr=False)
    stored: PasswordRow


@dataclass(frozen=True, slots=True)
class TokenProof:
    """The id of the token that somebody presented."""

    token_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and how that was proved."""

    user: UserRow
    proof: PasswordProof | TokenProof

    @property
    def token_id(self) -> str | None:
        """Return the id of the token that was presented, if one was."""
        return self.proof.token_id if isinstance(self.proof, TokenProof) else None

    @property
    def credential(self) -> str:
        """Return what names the credential: a token, or the password of the user."""
        return self.token_id or f"password of {self.user.id}"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A password to be verified: for which e-mail address, counted how, and for which caller."""

    email_key: str
    tried: Try
    caller: Caller
    stored: PasswordRow | None

    @property
    def user(self) -> UserRow | None:
        return self.stored.user if self.stored else None


class Identities:
    """Tells whose credentials those are that a request presents."""

    def __init__(
        self,
        core: Core,
        *,
        hasher: PasswordHasher,
        remembered: PasswordCache,
        signer: TokenSigner,
        usage: TokenUsage,
        throttle: Throttle,
        hashes: Budget,
    ) -> None:
        self._lookups = core.lookups
        self._audit = core.audit
        self._hasher = hasher
        self._remembered = remembered
        self._signer = signer
        self._usage = usage
        self._throttle = throttle
        self._hashes = hashes

    def identify(self, credentials: Credentials | None, origin: Origin) -> Awaitable[Identity]:
        """Return whose credentials these are.

        Raises a subclass of Unauthorized; by password also AccountDisabled or TooManyTries.
        """
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            return self._identify_by_token(credentials.token, origin)
        return self._identify_by_password(credentials, origin, may_be_remembered=True)

    async def identify_by_password(
        self, credentials: Credentials | None, origin: Origin
    ) -> Identity:
        """Return whose password this is, hashed again; a token is refused, however good."""
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            raise TokenInvalid(NO_RENEWAL)
        return await self._identify_by_password(credentials, origin, may_be_remembered=False)

    async def identify_by_token(self, credentials: Credentials | None, origin: Origin) -> Identity:
        """Return whose token this is; a password is refused, however right."""
        if isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid(WRONG_KIND)
        return await self.identify(credentials, origin)

    async def prove_again(self, identity: Identity, password: str, origin: Origin) -> bool:
        """Tell whether a password is that of somebody who is known already; counted as a try."""
        attempt = await self._find(emails.email_key(identity.user.email), origin)
        return await self._prove(attempt, password, origin)

    async def lock(self, connection: Connection, identity: Identity) -> UserRow:
        """Lock the user's row; raises unless what proved the identity still holds.

        Between the proof and the lock lies the time of a hash: somebody may have changed the
        password, or revoked the token, to keep out exactly whom this request comes from.
        """
        current = await users.find_for_update(connection, identity.user.id)
        match identity.proof:
            case TokenProof(token_id):
                refusal: Unauthorized = TokenInvalid()
                holds = await tokens.is_unrevoked(connection, token_id, identity.user.id)
            case PasswordProof(_, stored):
                refusal = CredentialsInvalid()
                holds = current is not None and current.password_version == stored.password_version
        if current is None or not holds or current.is_disabled:
            raise refusal
        return current.user

    async def _identify_by_token(self, token: str, origin: Origin) -> Identity:
        claims = self._signer.read(token)
        user = await answer(self._lookups.users_of_tokens.find(claims.token_id))
        if user is None:
            raise TokenInvalid
        self._usage.note(claims.token_id, origin.user_ip)
        return Identity(user, TokenProof(claims.token_id))

    async def _identify_by_password(
        self, credentials: PasswordCredentials, origin: Origin, *, may_be_remembered: bool
    ) -> Identity:
        password = credentials.password
        attempt = await self._find(emails.lookup_key(credentials.email), origin)
        stored = attempt.stored
        is_known = (
            may_be_remembered
            and stored is not None
            and self._remembered.holds(password, stored.password_hash, attempt.tried.place)
        )
        is_right = is_known or await self._prove(attempt, password, origin)
        if stored is None or not is_right:
            raise CredentialsInvalid
        if stored.is_disabled:
            raise AccountDisabled
        return Identity(stored.user, PasswordProof(password, stored))

    async def _find(self, email_key: str, origin: Origin) -> _Attempt:
        """Return what is known of a try, and whose e-mail address it is.

        Raises TooManyTries first, for remembered passwords too: a guess must not be told right
        while it has to wait.
        """
        tried = self._throttle.try_of(email_key, origin.ip)
        is_at_place = await self._throttle.check(tried)
        stored = await answer(self._lookups.users_by_email.find(email_key))
        caller = Caller.at(origin.ip, email_key, is_known=is_at_place)
        return _Attempt(email_key, tried, caller, stored)

    async def _prove(self, attempt: _Attempt, password: str, origin: Origin) -> bool:
        """Spend a hash on a password, counted as a try; return whether it is the stored one.

        Raises TooManyTries, or Overloaded. Takes as long where nobody has the e-mail address.
        """
        stored = attempt.stored
        self.check_hashes(attempt.user)
        stored_hash = stored.password_hash if stored else None
        async with self._hasher.slot(attempt.caller, stored_hash):
            # Again: others of this user may have been hashed while this one waited.
            self.check_hashes(attempt.user)
            charged = await self._throttle.charge(attempt.tried)
            checked = await self._hasher.check(password, stored_hash)
            # In the slot: of several tries at a time, too, the time must not tell what was hashed.
            if not checked.matches:
                await rest(checked.rest_seconds)
        if stored is not None and checked.matches:
            self._hashes.spend(stored.user.id)
            await self._throttle.clear(attempt.tried, charged)
            self._remembered.add(password, stored.password_hash, attempt.tried.place)
            return True
        user, key = attempt.user, attempt.email_key
        await self._audit.record(Kind.PASSWORD_FAILED, origin, user=user, email_key=key)
        if charged.is_newly_blocked:
            await self._audit.record(Kind.THROTTLED, origin, user=user, email_key=key)
        return False

    def check_hashes(self, user: UserRow | None) -> None:
        """Raise TooManyTries where right and new passwords of a user took many hashes of late.

        Wrong ones take none of it: a stranger must not keep the user out.
        """
        wait = self._hashes.wait_seconds(user.id) if user else 0
        if wait:
            raise TooManyTries(wait)

    def spend_hash(self, user: UserRow) -> None:
        """Count a hash of a user."""
        self._hashes.spend(user.id)
