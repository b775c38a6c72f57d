"""The files of the certificate."""

import codecs
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.certificates import make_certificate
from transport.certificate import Certificate, CertificateError

pytestmark = pytest.mark.needs("openssl")


def presented(context: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a server with this context presents, in a handshake in memory."""
    client_context = ssl.create_default_context()
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True)


@pytest.mark.parametrize("marked", [(), ("certificate",), ("key",), ("certificate", "key")])
def test_a_byte_order_mark_before_a_certificate_or_a_key_is_ignored(
    tmp_path: Path, marked: tuple[str, ...]
) -> None:
    certificate, key = make_certificate(tmp_path / "tls")
    other, _ = make_certificate(tmp_path / "issuer", "issuer")
    expected = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    # After the mark, OpenSSL would find the second certificate first.
    certificate.write_bytes(certificate.read_bytes() + other.read_bytes())
    for name, file in (("certificate", certificate), ("key", key)):
        if name in marked:
            file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert presented(Certificate(certificate, key).context) == expected


@pytest.mark.parametrize("name", ["certificate", "private_key"])
@pytest.mark.parametrize("is_directory", [False, True])
def test_the_error_of_an_unreadable_file_names_it_alone(
    tmp_path: Path, name: str, *, is_directory: bool
) -> None:
    pair = make_certificate(tmp_path / "tls")
    files = dict(zip(("certificate", "private_key"), pair, strict=True))
    files[name] = tmp_path if is_directory else tmp_path / "missing.pem"
    reason = "Is a directory" if is_directory else "No such file or directory"
    with pytest.raises(CertificateError) as caught:
        Certificate(**files)
    assert str(caught.value) == f"server.{name} {files[name]} cannot be read: {reason}."


def test_the_error_of_files_that_do_not_belong_together_names_both(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path / "tls")
    _, key = make_certificate(tmp_path / "other")
    with pytest.raises(CertificateError, match=r"cannot be used: KEY_VALUES_MISMATCH") as caught:
        Certificate(certificate, key)
    assert str(certificate) in str(caught.value)
    assert str(key) in str(caught.value)


def test_a_client_cannot_repeat_the_handshake(tmp_path: Path) -> None:
    context = Certificate(*make_certificate(tmp_path / "tls")).context
    assert context.options & ssl.OP_NO_RENEGOTIATION
