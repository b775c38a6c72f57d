"""The rules for the settings of mail, as types of fields: see settings/checks.py."""

from email.policy import SMTP
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from settings.checks import Info
from settings.mail_url import FOLDER, SmtpUrl, parse_mail_url
from settings.profiles import Profile


def _mail_url(url: SecretStr, info: Info) -> SecretStr:
    """Reject a URL that names no relay, without quoting any part of it."""
    text = url.get_secret_value()
    relay = parse_mail_url(text)
    is_clear = isinstance(relay, SmtpUrl) and relay.sends_clear_password
    if is_clear and info.context.profile is Profile.PRODUCTION:
        raise ValueError(
            "would send the password of the relay in clear text: use smtps:// or smtp+starttls://"
        )
    if text.startswith(FOLDER):
        return SecretStr(f"{FOLDER}{info.context.directory / text.removeprefix(FOLDER)}")
    return url


def _mailbox(text: str) -> str:
    if not text:
        return text
    try:
        addresses = SMTP.header_factory("from", text).addresses
    except (ValueError, IndexError):
        addresses = ()
    if len(addresses) != 1 or not text.isprintable() or "@" not in addresses[0].addr_spec:
        raise ValueError("must be one address, such as Example <no-reply@example.com>")
    return text


MailUrl = Annotated[SecretStr, AfterValidator(_mail_url), Field(description="a string")]
Mailbox = Annotated[str, AfterValidator(_mailbox), Field(description="an address or empty")]
