"""The public URL, and the origins of browsers."""

import pytest

from tests.harness.settings_files import PRODUCTION, Faults, Load


@pytest.mark.parametrize(
    "origins", ["https://app.example.com,http://localhost:3000", "*", "http://[::1]:8080"]
)
def test_origins_are_accepted_as_browsers_send_them(load: Load, origins: str) -> None:
    assert ",".join(load({"USERAUTH_CORS__ORIGINS": origins}).cors.origins) == origins


@pytest.mark.parametrize("url", ["", "https://auth.example.com", "https://auth.example.com:8443"])
def test_a_public_url_is_an_origin(load: Load, url: str) -> None:
    assert load(PRODUCTION | {"USERAUTH_SERVER__PUBLIC_URL": url}).server.public_url == url


@pytest.mark.parametrize(
    "url",
    [
        "auth.example.com",
        "https://auth.example.com/",
        "https://auth.example.com/login",
        "https://auth.example.com?a=b",
        "https://user@auth.example.com",
        "https://Auth.example.com",
        "https://auth.example.com:443",
        "ftp://auth.example.com",
        "https://auth.example.com\n",
    ],
)
def test_another_public_url_is_rejected(faults: Faults, url: str) -> None:
    (fault,) = faults({"USERAUTH_SERVER__PUBLIC_URL": url})
    assert fault.startswith("server.public_url = ")
    assert "must be an origin, such as https://auth.example.com" in fault


def test_production_rejects_a_public_url_without_encryption(load: Load, faults: Faults) -> None:
    variable = {"USERAUTH_SERVER__PUBLIC_URL": "http://localhost:8000"}
    assert load(variable).server.public_url == "http://localhost:8000"
    (fault,) = faults(PRODUCTION | variable)
    assert fault.endswith("must begin with https:// in production")


@pytest.mark.parametrize(
    "origins",
    [
        "app.example.com",
        "https://App.example.com",
        "https://app.example.com/path",
        "https://app.example.com//",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "null",
        "*,https://app.example.com",
        "https://*.example.com",
    ],
)
def test_an_origin_that_no_browser_sends_is_rejected(faults: Faults, origins: str) -> None:
    (fault,) = faults({"USERAUTH_CORS__ORIGINS": origins})
    assert fault.startswith("cors.origins = ")


def test_the_slash_at_the_end_of_an_origin_is_removed(load: Load) -> None:
    origins = load({"USERAUTH_CORS__ORIGINS": "https://a.example/,https://b.example"}).cors.origins
    assert origins == ("https://a.example", "https://b.example")
