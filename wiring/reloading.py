"""The reload on SIGHUP: the signing keys and the certificate are read again."""

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
    """Read the keys file again; keep the old keys if it is invalid."""
    log = logging.getLogger(SERVER)
    if services.keys_file is None:
        log.warning("SIGHUP: the keys are in SECRET_KEYS: restart the server to change them")
        return
    try:
        keys = services.keys_file.read()
    except KeysFileError as error:
        log.error("SIGHUP: %s The old keys remain in use.", error)  # noqa: TRY400 - no traceback
        return
    services.signer.use(keys)
    log.info("SIGHUP: loaded %d signing keys, the newest is %s", len(keys), services.signer.key_id)


def _reload_certificate(certificate: Certificate) -> None:
    """Read the certificate again; keep the old one if it is invalid."""
    log = logging.getLogger(SERVER)
    try:
        certificate.reload()
    except CertificateError as error:
        log.error("SIGHUP: %s The old certificate remains in use.", error)  # noqa: TRY400 - no traceback
        return
    log.info("SIGHUP: reloaded the certificate")
