"""The certificate that the server shows over HTTPS, read again when it was renewed."""

import ssl
from pathlib import Path
from socket import socket
from ssl import SSLContext, SSLSocket
from typing import NoReturn


class CertificateError(Exception):
    """The files hold no certificate with its key; the message tells which, and why."""


class Certificate:
    """A certificate, with those between it and a root, and its key; both are PEM files."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        """Read the files; raises CertificateError."""
        self._certificate = certificate
        self._private_key = private_key
        self._context = self._read()

    def reload(self) -> None:
        """Read the files again; raises CertificateError, and leaves what there was.

        Connections that are open keep what they have.
        """
        self._context = self._read()

    def wrap(self, connection: socket) -> SSLSocket:
        """Return the connection as one whose handshake is to come."""
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def _read(self) -> SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._private_key, _no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise CertificateError(
                f"server.certificate {self._certificate} and server.private_key"
                f" {self._private_key} cannot be used: {reason}."
            ) from None
        return context


def _no_passphrase() -> NoReturn:
    # Where it is not said, OpenSSL asks at the terminal.
    raise ValueError("the key has a passphrase, and there is nobody to give it")
