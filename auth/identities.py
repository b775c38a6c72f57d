"""Who is asking: credentials verified, and the proof held on to."""

from asyncio import sleep as rest
from collections.abc import Awaitable
from dataclasses import dataclass, field

from auth import emails
from auth.audit import AuditTrail, Kind
from auth.credentials import Credentials, PasswordCredentials, TokenCredentials
from auth.database import answer
from auth.errors import (
    AccountDisabled,
    CredentialsInvalid,
    CredentialsMissing,
    TokenInvalid,
    Unauthorized,
)
from auth.origin import Origin
from auth.passwords import PasswordHasher
from auth.remembered import RememberedPasswords
from auth.throttle import Charged, Throttle, Try
from auth.tokens import TokenSigner
from auth.usage import TokenUsage
from db import tokens, users
from db.lookups import Lookups
from db.pool import Connection
from db.rows import PasswordRow, UserRow

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


class Identities:
    """Tells whose credentials those are that a request presents."""

    def __init__(
        self,
        *,
        lookups: Lookups,
        hasher: PasswordHasher,
        remembered: RememberedPasswords,
        signer: TokenSigner,
        usage: TokenUsage,
        throttle: Throttle,
        audit: AuditTrail,
    ) -> None:
        self._lookups = lookups
        self._hasher = hasher
        self._remembered = remembered
        self._signer = signer
        self._usage = usage
        self._throttle = throttle
        self._audit = audit

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
        key = emails.email_key(identity.user.email)
        tried, stored = await self._find(key, origin)
        return await self._prove(key, password, stored, tried, origin)

    async def lock(self, connection: Connection, identity: Identity) -> UserRow:
        """Lock the user's row; raises unless what proved the identity still holds.

        Between the proof and the lock lies the time of a hash: somebody may have changed the
        password, or revoked the token, to keep out exactly whom this request comes from.
        """
        current = await users.find_for_update(connection, identity.user.id)
        match identity.proof:
            case TokenProof(token_id):
                refusal: Unauthorized = TokenInvalid()
                holds = await tokens.is_live(connection, token_id, identity.user.id)
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
        key = emails.lookup_key(credentials.email)
        tried, stored = await self._find(key, origin)
        is_known = (
            may_be_remembered
            and stored is not None
            and self._remembered.holds(password, stored.password_hash, tried.place)
        )
        is_right = is_known or await self._prove(key, password, stored, tried, origin)
        if stored is None or not is_right:
            raise CredentialsInvalid
        if stored.is_disabled:
            raise AccountDisabled
        return Identity(stored.user, PasswordProof(password, stored))

    async def _find(self, email_key: str, origin: Origin) -> tuple[Try, PasswordRow | None]:
        """Return what a try is counted under, and whose e-mail address it is.

        Raises TooManyTries first, for remembered passwords too: a guess must not be told right
        while it has to wait.
        """
        tried = self._throttle.try_of(email_key, origin.ip)
        await self._throttle.check(tried)
        return tried, await answer(self._lookups.users_by_email.find(email_key))

    async def _prove(
        self,
        email_key: str,
        password: str,
        stored: PasswordRow | None,
        tried: Try,
        origin: Origin,
    ) -> bool:
        """Spend a hash on a password, counted as a try; tell whether it is the stored one.

        Raises TooManyTries, or Overloaded. Takes as long where nobody has the e-mail address.
        """
        charged: list[Charged] = []

        async def charge() -> None:
            charged.append(await self._throttle.charge(tried))

        with self._hasher.place():
            stored_hash = stored.password_hash if stored else None
            checked = await self._hasher.check(password, stored_hash, charge)
        if stored is not None and checked.matches:
            await self._throttle.clear(tried, charged[0])
            self._remembered.add(password, stored.password_hash, tried.place)
            return True
        await rest(checked.rest_seconds)
        user = stored.user if stored else None
        await self._audit.record(Kind.PASSWORD_FAILED, origin, user=user, email_key=email_key)
        if charged[0].begins_to_wait:
            await self._audit.record(Kind.THROTTLED, origin, user=user, email_key=email_key)
        return False
