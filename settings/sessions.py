"""The sessions of browsers."""

from pydantic import Field

from settings.section import Section

# Browsers keep no cookie for longer.
_MAX_SECONDS = 400 * 24 * 60 * 60


class SessionSettings(Section):
    """The lifetime and the number of sessions; idle times are measured to the minute."""

    idle_seconds: int = Field(ge=300, le=_MAX_SECONDS)
    lifetime_seconds: int = Field(ge=300, le=_MAX_SECONDS)
    kept_lifetime_seconds: int = Field(ge=300, le=_MAX_SECONDS)
    max_per_user: int = Field(ge=1, le=10_000)
