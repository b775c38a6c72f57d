"""The URL of the mail relay: an SMTP server, or a folder for development."""

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import unquote

from settings.exposure import is_loopback
from settings.server import MAX_PORT

FOLDER = "folder:"
_SMTP = re.compile(
    r"""(?!.*(\s|%(?![0-9A-Fa-f]{2})))
    (?P<scheme>smtp|smtps|smtp\+starttls)://
    ((?P<user>[^:@/?\#]+)(:(?P<password>[^:@/?\#]+))@)?
    (?P<host>\[[0-9a-fA-F:.]+(%25[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+)
    (:(?P<port>[1-9][0-9]{0,4}))? /?""",
    re.VERBOSE,
)


class Security(Enum):
    """How the connection to a relay is encrypted."""

    NONE = "smtp"
    TLS = "smtps"
    STARTTLS = "smtp+starttls"


_PORTS = {Security.NONE: 25, Security.TLS: 465, Security.STARTTLS: 587}


@dataclass(frozen=True, slots=True)
class SmtpUrl:
    """An SMTP server, and the credentials for it."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def sends_clear_password(self) -> bool:
        """Return whether the password would cross a network without encryption."""
        return bool(self.user) and self.security is Security.NONE and not is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class FolderUrl:
    """A folder that messages are written to."""

    path: Path


def parse_mail_url(url: str) -> SmtpUrl | FolderUrl | None:
    """Return the relay of a URL, None if it is empty; raises ValueError without quoting it."""
    if not url:
        return None
    if url.startswith(FOLDER) and len(url) > len(FOLDER):
        return FolderUrl(Path(url.removeprefix(FOLDER)))
    match = _SMTP.fullmatch(url)
    if match is None or int(match["port"] or 0) > MAX_PORT:
        raise ValueError(
            "must be smtps://user:password@host:port, smtp+starttls://…, smtp://… or folder:PATH,"
            " with special characters in the user or password written as %40 and the like"
        )
    security = Security(match["scheme"])
    return SmtpUrl(
        # A link-local address has a zone: [fe80::1%25eth0].
        host=unquote(match["host"].strip("[]")),
        port=int(match["port"] or _PORTS[security]),
        security=security,
        user=unquote(match["user"] or ""),
        password=unquote(match["password"] or ""),
    )
