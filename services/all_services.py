"""The services that handlers call, and those that commands call."""

from dataclasses import dataclass

from rules.keys import KeysFile
from rules.tokens import TokenSigner
from services.accounts import Accounts
from services.administration import Users
from services.audit import AuditTrail
from services.clients import Clients
from services.event_stream import EventStream
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.signing_keys import SigningKeys
from services.tokens import Sessions
from services.transfer import Transfer
from services.usage import TokenUsage


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the server, on one database."""

    identities: Identities
    accounts: Accounts
    sessions: Sessions
    clients: Clients
    signer: TokenSigner
    keys_file: KeysFile | None
    usage: TokenUsage
    audit: AuditTrail
    hash_kinds: HashKinds


@dataclass(frozen=True, slots=True)
class AdministrationServices:
    """The services of commands, on one database."""

    users: Users
    clients: Clients
    signing_keys: SigningKeys
    transfer: Transfer
    audit: AuditTrail
    event_stream: EventStream
