"""All services, for handlers and commands."""

from dataclasses import dataclass

from rules.hash_queue import HashQueue
from rules.keys import KeysFile
from rules.tokens import TokenSigner
from services.accounts import Accounts
from services.administration import Administration
from services.audit import AuditTrail
from services.clients import Clients
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.readiness import Readiness
from services.throttle import Throttle
from services.tokens import Tokens
from services.transfer import Transfer
from services.usage import TokenUsage


@dataclass(frozen=True, slots=True)
class Services:
    """The services on one database."""

    identities: Identities
    accounts: Accounts
    tokens: Tokens
    clients: Clients
    signer: TokenSigner
    keys_file: KeysFile | None
    usage: TokenUsage
    throttle: Throttle
    audit: AuditTrail
    administration: Administration
    transfer: Transfer
    hash_kinds: HashKinds
    hash_queue: HashQueue
    readiness: Readiness
