"""What the server reads again on SIGHUP: the signing keys and the certificate."""

import logging

from handlers.application import Application
from ops.logs import SERVER
from ops.systemd import Systemd
from rules.keys import KeysFileError
from services.all_services import Services
from transport.certificate import Certificate, CertificateError


def reload(
    application: Application, certificate: Certificate | None, systemd: Systemd, status: str
) -> None:
    """Read the signing keys and the certificate again, unless the server drains."""
    if application.draining:
        return
    systemd.reloading()
    try:
        if certificate is None or application.services.keys_file is not None:
            _reload_keys(application.services)
        if certificate is not None:
            _reload_certificate(certificate)
    finally:
        systemd.ready(status)


def _reload_keys(services: Services) -> None:
    """Read the keys file again; keep the old keys where it is faulty."""
    log = logging.getLogger(SERVER)
    if services.keys_file is None:
        log.warning("SIGHUP: the keys come from SECRET_KEYS, which only a restart reads again")
        return
    try:
        keys = services.keys_file.read()
    except KeysFileError as error:
        log.error("SIGHUP: %s The old keys stay.", error)  # noqa: TRY400 - the reason says it all
        return
    services.signer.use(keys)
    log.info("SIGHUP: %d signing keys read, the newest is %s", len(keys), services.signer.key_id)


def _reload_certificate(certificate: Certificate) -> None:
    """Read the certificate again; keep the old one where it is faulty."""
    log = logging.getLogger(SERVER)
    try:
        certificate.reload()
    except CertificateError as error:
        log.error("SIGHUP: %s The old certificate stays.", error)  # noqa: TRY400 - says it all
        return
    log.info("SIGHUP: the certificate was read")
