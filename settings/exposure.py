"""How far what the settings name reaches: loopback, a network, or everybody."""

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
# What libpq takes for sslmode and never goes back to clear text from.
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
# The widest networks that one operator has; 10.0.0.0/8 is the widest private one of IPv4.
_LEAST_PREFIX = {4: 8, 6: 16}
_OWN_IPV6 = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
_MAPPED = IPv6Network("::ffff:0:0/96")


def is_loopback(host: str) -> bool:
    """Tell whether nobody on another machine reaches a host, as far as its name shows."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_everybody(network: str) -> bool:
    """Tell whether a network is so wide that clients are in it, whoever runs it."""
    parsed = ip_network(network)
    if isinstance(parsed, IPv6Network):
        if parsed.subnet_of(_MAPPED):
            return parsed.prefixlen - _MAPPED.prefixlen < _LEAST_PREFIX[4]
        if any(parsed.subnet_of(own) for own in _OWN_IPV6):
            return False
    return parsed.prefixlen < _LEAST_PREFIX[parsed.version]


def sslmode_over_network(url: str) -> str | None:
    """Return the sslmode of a URL, empty where it has none; None where no network is used."""
    match = DATABASE_URL.fullmatch(url)
    if match is None:
        return None
    options = parse_qs(match["options"] or "")
    # libpq connects to hostaddr where there is one, and takes the last of several options.
    places = options.get("hostaddr") or [unquote(match["host"]), *options.get("host", [])]
    if all(place.startswith(("/", "@")) or is_loopback(place) for place in places if place):
        return None
    sslmode: str = options.get("sslmode", [""])[-1]
    return sslmode
