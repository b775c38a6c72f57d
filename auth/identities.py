"""Who is asking: credentials verified, and the proof held on to."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

from auth import emails
from auth.credentials import Credentials, PasswordCredentials, TokenCredentials
from auth.database import answer
from auth.errors import CredentialsInvalid, CredentialsMissing, TokenInvalid, Unauthorized
from auth.passwords import PasswordHasher
from auth.remembered import RememberedPasswords
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
    ) -> None:
        self._lookups = lookups
        self._hasher = hasher
        self._remembered = remembered
        self._signer = signer
        self._usage = usage

    def identify(
        self, credentials: Credentials | None, ip: str | None = None
    ) -> Awaitable[Identity]:
        """Return whose credentials these are; raises a subclass of Unauthorized.

        ``ip`` is the address of who presents them, where that is the user's own.
        """
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            return self._identify_by_token(credentials.token, ip)
        return self._identify_by_password(credentials, may_be_remembered=True)

    async def identify_by_password(self, credentials: Credentials | None) -> Identity:
        """Return whose password this is, hashed again; a token is refused, however good."""
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            raise TokenInvalid(NO_RENEWAL)
        return await self._identify_by_password(credentials, may_be_remembered=False)

    async def identify_by_token(
        self, credentials: Credentials | None, ip: str | None = None
    ) -> Identity:
        """Return whose token this is; a password is refused, however right."""
        if isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid(WRONG_KIND)
        return await self.identify(credentials, ip)

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
        if current is None or not holds:
            raise refusal
        return current.user

    async def _identify_by_token(self, token: str, ip: str | None) -> Identity:
        claims = self._signer.read(token)
        user = await answer(self._lookups.users_of_tokens.find(claims.token_id))
        if user is None:
            raise TokenInvalid
        self._usage.note(claims.token_id, ip)
        return Identity(user, TokenProof(claims.token_id))

    async def _identify_by_password(
        self, credentials: PasswordCredentials, *, may_be_remembered: bool
    ) -> Identity:
        password = credentials.password
        key = emails.lookup_key(credentials.email)
        stored = await answer(self._lookups.users_by_email.find(key))
        stored_hash = stored.password_hash if stored else None
        if may_be_remembered and stored and self._remembered.holds(password, stored.password_hash):
            return Identity(stored.user, PasswordProof(password, stored))
        with self._hasher.place():
            # Verified even where there is nobody: the time must not tell.
            is_right = await self._hasher.verify(password, stored_hash)
        if stored is None or not is_right:
            raise CredentialsInvalid
        self._remembered.add(password, stored.password_hash)
        return Identity(stored.user, PasswordProof(password, stored))
