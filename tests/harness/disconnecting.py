"""Clients that disconnect before the response."""

import socket
from urllib.parse import urlsplit

from tests.harness.api import PASSWORD, Api, basic

REQUEST = (
    "GET /api/user/login HTTP/1.1\r\nHost: localhost\r\n"
    f"Authorization: {basic('susan@example.com', PASSWORD)}\r\n\r\n"
).encode()


def send_and_disconnect(api: Api) -> None:
    """Send a login and disconnect at once."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(REQUEST)
