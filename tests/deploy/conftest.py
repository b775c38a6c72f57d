"""What the tests of the sample configurations share."""

import pytest

_NGINX_AND_CADDY = [
    pytest.param("nginx.conf", marks=pytest.mark.needs("nginx")),
    pytest.param("Caddyfile", marks=pytest.mark.needs("caddy")),
]


@pytest.fixture(params=_NGINX_AND_CADDY)
def sample(request: pytest.FixtureRequest) -> str:
    """Return the name of the sample for nginx or Caddy."""
    return str(request.param)


@pytest.fixture(params=[*_NGINX_AND_CADDY, "traefik.yml"])
def any_sample(request: pytest.FixtureRequest) -> str:
    """Return the name of a sample, also of that for Traefik."""
    return str(request.param)
