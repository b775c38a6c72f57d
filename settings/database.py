"""The settings of the database."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr

from settings.checks import EMBEDDED, DatabaseReads, DatabaseUrl, DirectUrl, FilePath, Info, PoolMax
from settings.choices import Pooler, Reads
from settings.database_url import has_options
from settings.dsn import Dsn
from settings.section import Section


def _pooler(pooler: Pooler, info: Info) -> Pooler:
    """Reject a pooler that does not fit the URLs; an invalid URL is missing in ``info``."""
    url, direct_url = (info.data.get(name) for name in ("url", "direct_url"))
    if pooler is Pooler.NONE or not info.context.is_complete or url is None or direct_url is None:
        return pooler
    if url.get_secret_value() in EMBEDDED:
        raise ValueError('must be "none": the server connects to the embedded Postgres directly')
    if pooler is Pooler.TRANSACTION and not direct_url:
        raise ValueError(
            "set database.direct_url: migrations and commands need a direct connection"
        )
    if has_options(url.get_secret_value()):
        raise ValueError(
            "remove options= from database.url: a pooler does not pass it on; set defaults of the"
            " role with ALTER ROLE"
        )
    return pooler


class DatabaseSettings(Section):
    """The Postgres to use, and the pool of connections to it."""

    url: DatabaseUrl
    direct_url: DirectUrl
    pooler: Annotated[Pooler, AfterValidator(_pooler)] = Field(
        strict=False, description="none, session or transaction"
    )
    embedded_dir: FilePath
    pool_min: int = Field(ge=1, le=1000)
    pool_max: PoolMax = Field(ge=1, le=1000)
    reads: DatabaseReads
    acquire_timeout_seconds: float = Field(ge=0.01, le=600)
    query_timeout_seconds: float = Field(ge=0.01, le=600)

    @property
    def is_embedded(self) -> bool:
        """Return whether the server runs the embedded Postgres."""
        return self.url.get_secret_value() in EMBEDDED

    @property
    def acknowledges_reads(self) -> bool:
        """Return whether a synchronous standby has to acknowledge each lookup."""
        return self.reads is Reads.ACKNOWLEDGED

    @property
    def direct(self) -> Self:
        """Return the settings for migrations and commands, which avoid the pooler if possible."""
        if not self.direct_url:
            return self
        url = SecretStr(Dsn(self.direct_url.get_secret_value(), "database.direct_url"))
        direct = {"url": url, "direct_url": SecretStr(""), "pooler": Pooler.NONE}
        return self.model_copy(update=direct)
