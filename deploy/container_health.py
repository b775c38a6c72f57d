"""The health check of the container: exits with 0 if the server responds at /health/live.

It reads the variables of the server, and connects without a proxy.
"""

import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 4
# The addresses to reach a server that listens on all addresses of a family.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - used to connect only


def main(environ: Mapping[str, str]) -> int:
    """Request /health/live from the server in this container; return the exit code."""
    connection = HTTPConnection(*address(environ), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return int(connection.getresponse().status != HTTPStatus.OK)
    except (OSError, HTTPException):
        return 1


def address(environ: Mapping[str, str]) -> tuple[str, int]:
    """Return the host and port of a server with these variables."""

    def value(*names: str, default: str) -> str:
        return next(filter(None, map(environ.get, names)), default)

    host = value("HOST", "USERAUTH_SERVER__HOST", default="127.0.0.1")
    port = int(value("PORT", "USERAUTH_SERVER__PORT", default="8000"))
    if value("USERAUTH_SERVER__REUSE_PORT", default="false") == "false":
        port += int(value("USERAUTH_SERVER__INSTANCE", default="0"))
    return _LOOPBACK.get(host, host), port


if __name__ == "__main__":
    sys.exit(main(os.environ))
