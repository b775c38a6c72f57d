"""The services that handlers call, and those that commands call."""

from dataclasses import dataclass

from rules.hash_queue import HashQueue
from rules.keys import KeysFile
from rules.tokens import TokenSigner
from services.account_links import AccountLinks
from services.accounts import Accounts
from services.address_proofs import AddressProofs
from services.administration import Administration
from services.audit import AuditTrail
from services.clients import Clients
from services.email_change import EmailChange
from services.email_undo import EmailUndo
from services.event_stream import EventStream
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.login_diagnosis import LoginDiagnoses
from services.mail_administration import MailAdministration
from services.outbox import Outbox
from services.password_reset import PasswordReset
from services.peers import Peers
from services.readiness import Readiness
from services.registration import Registration
from services.sessions import Sessions
from services.signing_keys import SigningKeys
from services.tokens import Tokens
from services.transfer import Transfer
from services.usage import TokenUsage
from services.verification import EmailVerification
from services.wait_administration import WaitAdministration


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the server, on one database."""

    identities: Identities
    registration: Registration
    accounts: Accounts
    tokens: Tokens
    sessions: Sessions
    clients: Clients
    signer: TokenSigner
    keys_file: KeysFile | None
    usage: TokenUsage
    audit: AuditTrail
    hash_kinds: HashKinds
    hash_queue: HashQueue
    readiness: Readiness
    peers: Peers
    outbox: Outbox
    verification: EmailVerification
    password_reset: PasswordReset
    email_change: EmailChange
    email_undo: EmailUndo
    address_proofs: AddressProofs


@dataclass(frozen=True, slots=True)
class AdministrationServices:
    """The services of commands, on one database."""

    users: Administration
    account_links: AccountLinks
    clients: Clients
    signing_keys: SigningKeys
    transfer: Transfer
    audit: AuditTrail
    event_stream: EventStream
    waits: WaitAdministration
    mail: MailAdministration
    logins: LoginDiagnoses
