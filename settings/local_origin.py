"""The origin of the server for a browser on this machine, if no setting names its origin."""

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settings.server import ServerSettings


def local_origin(server: "ServerSettings", port: int | None = None) -> str:
    """Return the origin that is printed at startup, and that links begin with.

    Both must name the same host: a browser sends a cookie only to the host that set it.
    """
    scheme = "http" if server.certificate is None else "https"
    host = "localhost" if _is_unspecified(server.host) else server.host
    return f"{scheme}://{shown_host(host)}:{server.port if port is None else port}"


def shown_host(host: str) -> str:
    """Return a host in the syntax of URLs."""
    return f"[{host}]" if ":" in host else host


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
