"""A section of settings.toml as a model."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of settings.toml."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
