"""Everything that handlers and commands may ask for, in one hand."""

from dataclasses import dataclass

from rules.keys import KeysFile
from rules.tokens import TokenSigner
from services.accounts import Accounts
from services.administration import Users
from services.audit import AuditTrail
from services.clients import Clients
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.throttle import Throttle
from services.tokens import Sessions
from services.transfer import Transfer
from services.usage import TokenUsage


@dataclass(frozen=True, slots=True)
class Services:
    """The services on one database."""

    identities: Identities
    accounts: Accounts
    sessions: Sessions
    clients: Clients
    signer: TokenSigner
    keys_file: KeysFile | None
    usage: TokenUsage
    throttle: Throttle
    audit: AuditTrail
    users: Users
    transfer: Transfer
    hash_kinds: HashKinds
