"""Everything that handlers and commands may ask for, in one hand."""

from dataclasses import dataclass

from auth.accounts import Accounts
from auth.audit import AuditTrail
from auth.clients import Clients
from auth.hash_kinds import HashKinds
from auth.identities import Identities
from auth.keys import KeysFile
from auth.sessions import Sessions
from auth.throttle import Throttle
from auth.tokens import TokenSigner
from auth.transfer import Transfer
from auth.usage import TokenUsage
from auth.users import Users


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
