"""The URL of Postgres: the accepted forms, and whether the connection uses a network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import parse_qs, unquote

from settings.exposure import is_loopback

# The values of sslmode with which libpq never falls back to clear text.
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
_HOST = r"(\[[^][]+\]|[^][:@/?,]*) (:\d*)?"
# Read as libpq does: a general URL parser would end the host at a # in the password.
_URL = re.compile(
    rf"""(?!.*(\s|%(?![0-9A-Fa-f]{{2}}))) postgres(ql)?:// ([^@/]*@)?
    (?P<hosts>{_HOST} (,{_HOST})*)
    (/[^?]*)? (\?(?P<options>.*))?""",
    re.VERBOSE | re.DOTALL,
)
_PORT = re.compile(r":\d*$")
_SCHEME_WITH_DRIVER = re.compile(r"postgres(ql)?\+\w+://")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The hosts before the path of a URL, and its options."""

    hosts: Sequence[str]
    options: Mapping[str, str]

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the hosts; a host without a name has an empty one."""
        return self._listed("host") or self.hosts

    @property
    def addresses(self) -> Sequence[str]:
        return self._listed("hostaddr")

    def _listed(self, option: str) -> Sequence[str]:
        return self.options[option].split(",") if option in self.options else ()


def check_database_url(url: str, *, may_be_embedded: bool = True) -> None:
    """Raise ValueError if a URL does not lead to a primary.

    The message quotes no part of it: if it cannot be parsed, any part may belong to the password.
    It suggests the embedded Postgres if ``may_be_embedded``.
    """
    _check_escapes(url)
    if _SCHEME_WITH_DRIVER.match(url):
        raise ValueError("must begin with postgresql://, without a + and the name of a driver")
    parts = _parse(url)
    if parts is None:
        raise ValueError(
            f"must be {'embedded or ' if may_be_embedded else ''}"
            "postgresql://user:password@host:port/name, with special characters in the user or"
            " password written as %40 and the like"
        )
    if not parts.names and not parts.addresses:
        raise ValueError(
            "must name a host, or a socket directory, such as ?host=/var/run/postgresql"
        )
    if parts.hosts and "host" in parts.options:
        raise ValueError("must name its hosts either before the path or as ?host=, not both")
    if not all(_used(parts)):
        raise ValueError("must not have an empty name in its list of hosts")
    _check_choices(parts.options)


def sslmode_over_network(url: str) -> str | None:
    """Return the sslmode of a URL, or None if the connection uses no network.

    It is empty if the URL has none.
    """
    parts = _parse(url)
    if parts is None:
        return None
    if all(host.startswith(("/", "@")) or is_loopback(host) for host in _used(parts)):
        return None
    return parts.options.get("sslmode", "")


def has_options(url: str) -> bool:
    """Return whether a URL sets options of the session."""
    parts = _parse(url)
    return parts is not None and "options" in parts.options


def _parse(url: str) -> _Parts | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    # libpq decodes the list as a whole, and takes the last of several options.
    hosts = ",".join(unquote(_PORT.sub("", host)) for host in match["hosts"].split(","))
    options = parse_qs(match["options"] or "")
    return _Parts(
        hosts.split(",") if hosts.strip(",") else (),
        {name: values[-1] for name, values in options.items()},
    )


def _used(parts: _Parts) -> Sequence[str]:
    """Return the targets of libpq: the IP address of each host if it has one, or else its name."""
    pairs = zip_longest(parts.addresses, parts.names, fillvalue="")
    return [address or name for address, name in pairs]


def _check_escapes(url: str) -> None:
    """Raise ValueError if an unescaped character ends the user or the password too early."""
    authority, slash, path = url.partition("://")[2].partition("?")[0].partition("/")
    for character, code, is_wrong in (
        ("@", "%40", authority.count("@") > 1),
        ("/", "%2F", slash and "@" in path),
    ):
        if is_wrong:
            raise ValueError(f"must have {character} in the user or password written as {code}")


def _check_choices(options: Mapping[str, str]) -> None:
    """Raise ValueError if libpq would choose among hosts in another way than this server."""
    if options.get("target_session_attrs", "primary") not in {"primary", "read-write"}:
        raise ValueError(
            "must have target_session_attrs=read-write or primary, or none: the server uses only a"
            " primary"
        )
    if options.get("load_balance_hosts", "disable") != "disable":
        raise ValueError("must not have load_balance_hosts: hosts are tried in their order")
