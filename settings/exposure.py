"""How far an address or a network reaches: loopback, a network, or everything."""

import re
from ipaddress import IPv6Network, ip_address, ip_network
from urllib.parse import parse_qs, unquote

# Read as libpq does: a general URL parser would end the host at a # in the password.
DATABASE_URL = re.compile(
    r"""(?!.*(\s|%(?![0-9A-Fa-f]{2}))) postgres(ql)?:// ([^@/]*@)?
    (?P<host>\[[^][]+\]|[^][:@/?,]*) (:\d*)? (?P<more>,[^@/?]*)?
    (/[^?]*)? (\?(?P<options>.*))?""",
    re.VERBOSE | re.DOTALL,
)
# The values of sslmode with which libpq never falls back to clear text.
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
# The prefixes of the largest networks of one organization, as 10.0.0.0/8.
_MIN_PREFIX = {4: 8, 6: 16}
_OWN_IPV6 = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
_MAPPED = IPv6Network("::ffff:0:0/96")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine only, as far as its name shows."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def includes_callers(network: str) -> bool:
    """Return whether a network is too large to belong to one organization, so includes callers."""
    parsed = ip_network(network)
    if isinstance(parsed, IPv6Network):
        if parsed.subnet_of(_MAPPED):
            return parsed.prefixlen - _MAPPED.prefixlen < _MIN_PREFIX[4]
        if any(parsed.subnet_of(own) for own in _OWN_IPV6):
            return False
    return parsed.prefixlen < _MIN_PREFIX[parsed.version]


def has_options(url: str) -> bool:
    """Return whether a URL sets options of the session."""
    match = DATABASE_URL.fullmatch(url)
    return match is not None and "options" in parse_qs(match["options"] or "")


def sslmode_over_network(url: str) -> str | None:
    """Return the sslmode of a URL, or None if the connection uses no network.

    It is empty if the URL has none.
    """
    match = DATABASE_URL.fullmatch(url)
    if match is None:
        return None
    options = parse_qs(match["options"] or "")
    # libpq connects to hostaddr if it is given, and takes the last of several options.
    hosts = options.get("hostaddr") or [unquote(match["host"]), *options.get("host", [])]
    if all(host.startswith(("/", "@")) or is_loopback(host) for host in hosts if host):
        return None
    sslmode: str = options.get("sslmode", [""])[-1]
    return sslmode
