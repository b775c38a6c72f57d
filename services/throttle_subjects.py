"""The names under which failed attempts are counted: a prefix, and a keyed digest.

A name does not reveal the network or the email address, but anyone with the key can compute the
name of one that they know.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rules.digests import Digests

# The prefix of accounts appears in indexes that housekeeping uses: see schema.sql. That of a
# network is "address", which is stored and therefore does not change.
ACCOUNT, PAIR, ADDRESS, REGISTRATION = "account:", "pair:", "address:", "registration:"
CODE = "code:"
CLIENT_PAIR, CLIENT_ADDRESS = "client-pair:", "client-address:"


class CountKind(StrEnum):
    """The kinds of counts; commands print the values."""

    ACCOUNT = "account"
    PAIR = "account-and-address"
    ADDRESS = "address"
    REGISTRATION = "registration"
    CODE = "code"
    CLIENT_PAIR = "client-and-address"
    CLIENT_ADDRESS = "client-address"


_KINDS = {
    ACCOUNT: CountKind.ACCOUNT,
    PAIR: CountKind.PAIR,
    ADDRESS: CountKind.ADDRESS,
    REGISTRATION: CountKind.REGISTRATION,
    CODE: CountKind.CODE,
    CLIENT_PAIR: CountKind.CLIENT_PAIR,
    CLIENT_ADDRESS: CountKind.CLIENT_ADDRESS,
}


_NAME = re.compile(rf"({'|'.join(_KINDS)})[A-Za-z0-9_-]{{24}}")


def is_subject(text: str) -> bool:
    """Return whether a text has the form of a name, which no email address has."""
    return _NAME.fullmatch(text) is not None


def kind_of(subject: str) -> CountKind:
    """Return the kind of a count, given by its name."""
    return _KINDS[subject.partition(":")[0] + ":"]


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """Names the subjects of counts; ``network`` is a result of network_of()."""

    digests: Digests

    def account(self, email_key: str) -> str:
        """Return the name of the count of an email address, given by its key."""
        return ACCOUNT + self.digests.of(ACCOUNT, email_key)

    def pair(self, email_key: str, network: str) -> str:
        """Return the name of the count of an email address together with a network."""
        return self._pair(PAIR, email_key, network)

    def network(self, network: str) -> str:
        """Return the name of the count of a network, for any email address."""
        return self._network(ADDRESS, network)

    def client_pair(self, client_id: str, network: str) -> str:
        """Return the name of the count of a client together with a network."""
        return self._pair(CLIENT_PAIR, client_id, network)

    def client_network(self, network: str) -> str:
        """Return the name of the count of a network, for any client."""
        return self._network(CLIENT_ADDRESS, network)

    def registration(self, network: str) -> str:
        """Return the name of the count of registrations from a network."""
        return REGISTRATION + self.network_digest(network)

    def code(self, network: str) -> str:
        """Return the name of the count of wrong codes from a network."""
        return CODE + self.network_digest(network)

    def of_network(self, network: str) -> Sequence[str]:
        """Return the names of the counts of a network that belong to no account or client."""
        return (
            self.network(network),
            self.client_network(network),
            self.registration(network),
            self.code(network),
        )

    def network_digest(self, network: str) -> str:
        """Return the digest that identifies a usual network in the count of an account."""
        return self.digests.of(ADDRESS, network)

    def _pair(self, prefix: str, login: str, network: str) -> str:
        return prefix + self.digests.of(prefix, f"{network}\0{login}")

    def _network(self, prefix: str, network: str) -> str:
        return prefix + self.digests.of(prefix, network)
