"""Pages while Postgres is unavailable."""

import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.form_browser import FormBrowser
from tests.harness.gate import Gate

EMAIL = "susan@example.com"


@pytest.fixture
def dsn(dsn: str, gate: Gate) -> str:
    """Connect the application through the gate, to the same empty database."""
    assert dsn != gate.dsn
    return gate.dsn


@pytest.mark.gen_test
async def test_the_form_stays_filled_in_and_says_when_to_try_again(
    api: Api, browser: FormBrowser, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    page = await browser.get("/auth/sign-in")
    await gate.shut()
    answer = await browser.submit(page, "/auth/sign-in", email=EMAIL, password=PASSWORD)
    assert answer.status == 503
    assert "Try again in" in answer.text
    assert answer.find("input", name="email").attributes["value"] == EMAIL
    caplog.clear()


@pytest.mark.gen_test
async def test_a_page_for_a_session_is_a_503_and_the_session_remains(
    api: Api, browser: FormBrowser, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    await gate.shut()
    assert (await browser.get("/auth/account")).status == 503
    assert "userauth" in browser.cookies
    caplog.clear()


@pytest.mark.gen_test
async def test_a_form_of_a_session_stays_filled_in_and_can_be_sent_again(
    api: Api, browser: FormBrowser, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/auth/account/name"
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    page = await browser.get(path)
    await gate.shut()
    answer = await browser.submit(page, path, name="Typed", current_password=PASSWORD)
    assert answer.status == 503
    assert answer.find("input", name="name").attributes["value"] == "Typed"
    assert PASSWORD not in answer.html
    await gate.open()
    again = await browser.submit(answer, path, current_password=PASSWORD)
    assert again.status == 303
    caplog.clear()
