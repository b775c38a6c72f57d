"""Access by pages of other sites: the CORS protocol."""

from collections.abc import Mapping

import pytest

from tests.harness.api import Answer, Api
from tests.harness.configuration import override_settings

PAGE = "https://app.example.com"
OTHER = "https://evil.example"

listed = override_settings(CORS__ORIGINS=f"{PAGE},http://localhost:3000")
any_origin = override_settings(CORS__ORIGINS="*")


def cors_fields(answer: Answer) -> Mapping[str, str]:
    """Return the fields of a response for browsers, by their short names."""
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in answer.headers.get_all()
        if name.startswith("Access-Control-") or name == "Vary"
    }


async def send(api: Api, method: str, path: str, origin: str, **fields: str) -> Answer:
    return await api.request(method, path, headers={"Origin": origin, **fields})


@pytest.mark.gen_test
async def test_without_origins_no_page_has_access(api: Api) -> None:
    preflight = {"Access-Control-Request-Method": "POST"}
    assert cors_fields(await send(api, "GET", "/api/user", PAGE)) == {}
    assert cors_fields(await send(api, "OPTIONS", "/api/user", PAGE, **preflight)) == {}


@listed
@pytest.mark.gen_test
async def test_a_listed_page_may_send_and_read(api: Api) -> None:
    answer = await send(
        api,
        "OPTIONS",
        "/api/user",
        PAGE,
        **{
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert answer.status == 204
    allowed = cors_fields(answer)
    assert allowed["Allow-Origin"] == PAGE
    assert allowed["Allow-Credentials"] == "true"
    assert allowed["Vary"] == "Origin"
    assert allowed["Allow-Methods"] == answer.headers["Allow"]
    assert {"Authorization", "Content-Type"} <= set(allowed["Allow-Headers"].split(", "))
    assert allowed["Max-Age"] == "600"


@listed
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/api/user", 401),
        ("GET", "/nowhere", 404),
        ("PUT", "/api/user", 405),
        ("POST", "/api/user/register", 400),
    ],
)
@pytest.mark.gen_test
async def test_a_listed_page_may_read_errors(api: Api, method: str, path: str, status: int) -> None:
    answer = await send(api, method, path, PAGE)
    assert answer.status == status
    assert cors_fields(answer)["Allow-Origin"] == PAGE
    assert "Retry-After" in cors_fields(answer)["Expose-Headers"]


@listed
@pytest.mark.parametrize("origin", [OTHER, "null", PAGE + ".evil.example", PAGE.upper(), "*", ""])
@pytest.mark.gen_test
async def test_an_unlisted_page_gets_no_cors_fields(api: Api, origin: str) -> None:
    assert cors_fields(await send(api, "GET", "/health/live", origin)) == {"Vary": "Origin"}
    preflight = {"Access-Control-Request-Method": "GET"}
    answer = await send(api, "OPTIONS", "/api/user", origin, **preflight)
    assert cors_fields(answer) == {"Vary": "Origin"}


@any_origin
@pytest.mark.gen_test
async def test_with_any_origin_pages_have_access_without_browser_credentials(api: Api) -> None:
    preflight = {"Access-Control-Request-Method": "GET"}
    for answer in (
        await send(api, "GET", "/api/user", OTHER),
        await send(api, "OPTIONS", "/api/user", OTHER, **preflight),
    ):
        assert cors_fields(answer)["Allow-Origin"] == "*"
        assert "Allow-Credentials" not in cors_fields(answer)


@listed
@pytest.mark.gen_test
async def test_options_without_an_origin_has_no_cors_fields(api: Api) -> None:
    answer = await api.request("OPTIONS", "/api/user")
    assert (answer.status, cors_fields(answer)) == (204, {"Vary": "Origin"})
