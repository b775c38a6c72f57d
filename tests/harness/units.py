"""The units for systemd."""

from tests.harness.configuration import ROOT

DEPLOY = ROOT / "deploy"
SERVICE, BACKUP = DEPLOY / "userauth.service", DEPLOY / "userauth-backup.service"
UNITS = [
    SERVICE,
    DEPLOY / "userauth.socket",
    DEPLOY / "userauth@.service",
    DEPLOY / "userauth@.socket",
    BACKUP,
    DEPLOY / "userauth-backup.timer",
]
