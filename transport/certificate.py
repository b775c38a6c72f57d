"""The server's TLS certificate, which can be reloaded after a renewal."""

import ssl
from pathlib import Path
from ssl import SSLContext
from typing import NoReturn


class CertificateError(Exception):
    """The files have no usable certificate and key; the message names the files and the reason."""


class Certificate:
    """A certificate chain and its private key, read from PEM files."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        """Read the files; raise CertificateError if they cannot be used."""
        self._certificate = certificate
        self._private_key = private_key
        self._context = self._read()

    def reload(self) -> None:
        """Read the files again; raise CertificateError, and keep the old ones, on failure.

        Open connections keep the certificate that they started with.
        """
        self._context = self._read()

    @property
    def context(self) -> SSLContext:
        """Return the TLS context of new connections."""
        return self._context

    def _read(self) -> SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A handshake costs the server much more than the client. OpenSSL 3 rejects renegotiation by
        # default.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        # OpenSSL reports that a file is missing, but not which one.
        _check_readable("server.certificate", self._certificate)
        _check_readable("server.private_key", self._private_key)
        try:
            context.load_cert_chain(self._certificate, self._private_key, _no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise CertificateError(
                f"server.certificate {self._certificate} and server.private_key"
                f" {self._private_key} cannot be used: {reason}."
            ) from None
        return context


def _check_readable(setting: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise CertificateError(f"{setting} {file} cannot be read: {error.strerror}.") from None


def _no_passphrase() -> NoReturn:
    # Without a callback, OpenSSL prompts at the terminal.
    raise ValueError("the private key is encrypted, which is not supported")
