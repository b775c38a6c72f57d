"""Pages of other sites: the CORS protocol."""

from collections.abc import Mapping

import pytest

from tests.harness.api import Answer, Api
from tests.harness.configuration import laid_over

PAGE = "https://app.example.com"
OTHER = "https://evil.example"

named = laid_over(CORS__ORIGINS=f"{PAGE},http://localhost:3000")
anybody = laid_over(CORS__ORIGINS="*")


def told(answer: Answer) -> Mapping[str, str]:
    """Return what an answer says to browsers, by the short name of the field."""
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in answer.headers.get_all()
        if name.startswith("Access-Control-") or name == "Vary"
    }


async def ask(api: Api, method: str, path: str, origin: str, **fields: str) -> Answer:
    return await api.request(method, path, headers={"Origin": origin, **fields})


@pytest.mark.gen_test
async def test_without_origins_no_page_is_let_in(api: Api) -> None:
    preflight = {"Access-Control-Request-Method": "POST"}
    assert told(await ask(api, "GET", "/api/user", PAGE)) == {}
    assert told(await ask(api, "OPTIONS", "/api/user", PAGE, **preflight)) == {}


@named
@pytest.mark.gen_test
async def test_a_page_that_is_named_may_ask_and_read(api: Api) -> None:
    answer = await ask(
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
    allowed = told(answer)
    assert allowed["Allow-Origin"] == PAGE
    assert allowed["Allow-Credentials"] == "true"
    assert allowed["Vary"] == "Origin"
    assert allowed["Allow-Methods"] == answer.headers["Allow"]
    assert {"Authorization", "Content-Type"} <= set(allowed["Allow-Headers"].split(", "))
    assert allowed["Max-Age"] == "600"


@named
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
async def test_refusals_too_can_be_read(api: Api, method: str, path: str, status: int) -> None:
    answer = await ask(api, method, path, PAGE)
    assert answer.status == status
    assert told(answer)["Allow-Origin"] == PAGE
    assert "Retry-After" in told(answer)["Expose-Headers"]


@named
@pytest.mark.parametrize("origin", [OTHER, "null", PAGE + ".evil.example", PAGE.upper(), "*", ""])
@pytest.mark.gen_test
async def test_another_page_is_told_nothing(api: Api, origin: str) -> None:
    assert told(await ask(api, "GET", "/health/live", origin)) == {"Vary": "Origin"}
    preflight = {"Access-Control-Request-Method": "GET"}
    answer = await ask(api, "OPTIONS", "/api/user", origin, **preflight)
    assert told(answer) == {"Vary": "Origin"}


@anybody
@pytest.mark.gen_test
async def test_any_page_is_let_in_without_what_its_browser_would_add(api: Api) -> None:
    preflight = {"Access-Control-Request-Method": "GET"}
    for answer in (
        await ask(api, "GET", "/api/user", OTHER),
        await ask(api, "OPTIONS", "/api/user", OTHER, **preflight),
    ):
        assert told(answer)["Allow-Origin"] == "*"
        assert "Allow-Credentials" not in told(answer)


@named
@pytest.mark.gen_test
async def test_options_of_no_browser_say_what_there_is_and_no_more(api: Api) -> None:
    answer = await api.request("OPTIONS", "/api/user")
    assert (answer.status, told(answer)) == (204, {"Vary": "Origin"})
