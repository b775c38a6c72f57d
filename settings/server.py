"""The section of the settings for the server: its processes, and where they listen."""

from pydantic import Field

from settings.checks import Networks, OptionalPath, PrivateKey, PublicUrl, RequireHttps
from settings.section import Section

# On one machine: the units give each process a port that ends in two digits.
MAX_PROCESSES = 64
MAX_PORT = 65535


class ServerSettings(Section):
    """The listening socket, HTTPS, and the stop."""

    host: str = Field(min_length=1, description="an address or a host name")
    port: int = Field(ge=0, le=MAX_PORT)
    processes: int = Field(ge=1, le=MAX_PROCESSES)
    instance: int = Field(ge=0, le=MAX_PROCESSES)
    reuse_port: bool
    public_url: PublicUrl
    drain_delay_seconds: float = Field(ge=0, le=60)
    drain_seconds: float = Field(ge=0, le=600)
    lag_warning_seconds: float = Field(gt=0, le=60)
    trusted_proxies: Networks
    certificate: OptionalPath
    private_key: PrivateKey
    require_https: RequireHttps

    def own_port(self, port: int) -> int:
        """Return a port of the settings plus the number of this process; 0 remains 0."""
        return port + self.instance if port else 0
