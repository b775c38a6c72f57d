"""The settings as one frozen, typed object.

The models list all settings, and settings.toml has the default of each. Sections with rules of
their own are in modules of their own: settings.server, settings.database, settings.sessions,
settings.pages. CONTRIBUTING.md explains how to add a setting.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.fields import FieldInfo

from ops.log_format import LogFormat
from ops.logged_requests import LoggedRequests
from settings.checks import (
    Keys,
    OptionalPath,
    Origins,
    Peppers,
    PublicUrl,
    Words,
    in_production,
)
from settings.choices import Language, Verification
from settings.database import DatabaseSettings
from settings.local_origin import local_origin
from settings.mail_checks import Mailbox, MailUrl
from settings.mail_url import FolderUrl, SmtpUrl, parse_mail_url
from settings.pages import PageSettings
from settings.profiles import Profile
from settings.section import Section
from settings.server import MAX_PORT, ServerSettings
from settings.sessions import SessionSettings

# The limit also applies to passwords.workers = 0, one for each CPU.
MAX_WORKERS = 64


class TokenSettings(Section):
    """The lifetime and the number of tokens, and the keys that sign them."""

    lifetime_seconds: int = Field(ge=1, le=10 * 365 * 24 * 60 * 60)
    max_per_user: int = Field(ge=1, le=10_000)
    keep_expired_days: int = Field(ge=0, le=3650)
    keys_file: OptionalPath
    keys: Keys


class PasswordSettings(Section):
    """The rules for passwords, and how they are hashed."""

    bcrypt_cost: Annotated[int, in_production(minimum=10)] = Field(ge=4, le=18)
    min_length: Annotated[int, in_production(minimum=8)] = Field(ge=1, le=64)
    refuse_common: bool
    workers: int = Field(ge=0, le=MAX_WORKERS)
    max_wait_seconds: float = Field(gt=0, le=60)
    max_per_account: int = Field(ge=1, le=10_000)
    remember_seconds: float = Field(ge=0, le=3600)
    current_required: bool
    service_words: Words
    pepper: Peppers


class RegistrationSettings(Section):
    """Who may register, with which email addresses, and how these are verified."""

    quarantine_days: int = Field(ge=0, le=3650)
    internal_domains: bool
    open: bool
    verification: Verification = Field(strict=False, description="off, optional or required")


class MailSettings(Section):
    """The relay that sends messages, what they contain, and their limits."""

    url: MailUrl
    sender: Mailbox = Field(alias="from")
    reply_to: Mailbox
    links_to: PublicUrl
    language: Language = Field(strict=False, description="en or de")
    per_minute: int = Field(ge=1, le=1_000_000)
    recipient_per_hour: int = Field(ge=1, le=1_000_000)
    user_per_hour: int = Field(ge=1, le=1_000_000)
    network_per_hour: int = Field(ge=1, le=1_000_000)

    @property
    def relay(self) -> SmtpUrl | FolderUrl | None:
        """Return the relay; None if no messages are sent."""
        return parse_mail_url(self.url.get_secret_value())


class ThrottleSettings(Section):
    """The number of failures without a delay, the delays after them, and budgets of a user."""

    pair_failures: int = Field(ge=1, le=1_000_000)
    account_failures: int = Field(ge=1, le=1_000_000)
    address_failures: int = Field(ge=1, le=1_000_000)
    registrations: int = Field(ge=1, le=1_000_000)
    max_consecutive_failures: Annotated[int, in_production(maximum=100)] = Field(
        ge=10, le=1_000_000
    )
    first_delay_seconds: float = Field(ge=1, le=3600)
    longest_delay_seconds: float = Field(ge=1, le=86_400)
    forget_seconds: int = Field(ge=1, le=30 * 86_400)
    hashes_per_minute: int = Field(ge=1, le=1_000_000)
    writes_per_minute: int = Field(ge=1, le=1_000_000)


class AuditSettings(Section):
    """The retention of events."""

    keep_days: int = Field(ge=1, le=3650)


class CorsSettings(Section):
    """The sites whose pages may call the API."""

    origins: Origins


class LoggingSettings(Section):
    """The format of the log, and which requests it contains."""

    format: LogFormat = Field(strict=False, description="auto, text or json")
    requests: LoggedRequests = Field(strict=False, description="all, failed or none")


class MetricsSettings(Section):
    """The listening socket for Prometheus."""

    host: str = Field(min_length=1, description="an address or a host name")
    port: int = Field(ge=0, le=MAX_PORT)


class DocsSettings(Section):
    """The OpenAPI document and the page at /docs."""

    enabled: bool


class LimitSettings(Section):
    """The limits of requests and connections."""

    # No call accepts a larger body, which would take long to parse.
    max_body_bytes: int = Field(ge=1024, le=256 * 1024)
    max_connections: int = Field(ge=1, le=1_000_000)
    network_connections: int = Field(ge=0, le=1_000_000)
    first_request_seconds: float = Field(gt=0, le=3600)
    idle_timeout_seconds: float = Field(gt=0, le=3600)
    body_timeout_seconds: float = Field(gt=0, le=3600)


class Settings(BaseModel):
    """All settings of the server."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: Profile = Field(strict=True, description="chosen by APP_SETTINGS, not here")
    server: ServerSettings
    database: DatabaseSettings
    tokens: TokenSettings
    sessions: SessionSettings
    passwords: PasswordSettings
    registration: RegistrationSettings
    mail: MailSettings
    throttle: ThrottleSettings
    audit: AuditSettings
    cors: CorsSettings
    logging: LoggingSettings
    metrics: MetricsSettings
    docs: DocsSettings
    pages: PageSettings
    limits: LimitSettings
    _warnings: Sequence[str] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's signature
        """Keep the warnings about names, which belong to no section."""
        self._warnings = context.warnings

    @property
    def links_origin(self) -> str:
        """Return the origin of links in messages."""
        return self.mail.links_to or self.server.public_url or local_origin(self.server)

    @property
    def serves_pages(self) -> bool:
        """Return whether pages are served; in production, only at a known origin."""
        is_known = self.server.public_url or self.profile is not Profile.PRODUCTION
        return self.pages.enabled and bool(is_known)

    @property
    def warnings(self) -> Sequence[str]:
        """Return warnings about old names, and about variables that are not settings."""
        return self._warnings


FIELDS: dict[str, dict[str, FieldInfo]] = {
    name: {
        key.alias or field: key
        for field, key in getattr(section.annotation, "model_fields", {}).items()
    }
    for name, section in Settings.model_fields.items()
}
VARIABLES = {
    f"USERAUTH_{section}__{key}".upper(): (section, key)
    for section, keys in FIELDS.items()
    for key in keys
} | {
    "DATABASE_URL": ("database", "url"),
    "HOST": ("server", "host"),
    "PORT": ("server", "port"),
    "PASSWORD_PEPPER": ("passwords", "pepper"),
    "SECRET_KEYS": ("tokens", "keys"),
}
