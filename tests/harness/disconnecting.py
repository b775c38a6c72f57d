"""Clients that disconnect before the response, and hashes that a test blocks."""

import socket
import threading
from urllib.parse import urlsplit

import bcrypt

from tests.harness.api import PASSWORD, Api, basic

REQUEST = (
    "GET /api/user/login HTTP/1.1\r\nHost: localhost\r\n"
    f"Authorization: {basic('susan@example.com', PASSWORD)}\r\n\r\n"
).encode()


class Hashes:
    """Counts verifications, and blocks them until they may continue."""

    def __init__(self) -> None:
        self.started = 0
        self.may_continue = threading.Event()
        self._check = bcrypt.checkpw

    def check(self, password: bytes, stored: bytes) -> bool:
        self.started += 1
        self.may_continue.wait(5)
        return self._check(password, stored)


def send_and_disconnect(api: Api) -> None:
    """Send a login and disconnect at once."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(REQUEST)
