"""What the pages do in a browser beside the flows: focus, scripts, storage, and other sites."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from selenium.webdriver import Chrome

from tests.harness.api import PASSWORD
from tests.harness.browser import console_errors, hosts
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import (
    ACCOUNT,
    EMAIL,
    SIGN_IN,
    SIGN_OUT,
    SIGN_OUT_BUTTON,
    SUBMIT,
    Person,
)

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver")]


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    with page_site(dsn, tmp_path / "log") as running:
        running.register(EMAIL)
        yield running


@pytest.fixture
def person(driver: Chrome, site: PageSite) -> Person:
    return Person(driver, site.url)


def test_an_error_is_announced_and_has_the_focus(person: Person) -> None:
    person.open(SIGN_IN)
    person.send(SIGN_IN, email=EMAIL)
    assert person.driver.title == "Error: Sign in · Account"
    assert person.find("[role=alert]").is_displayed()
    person.await_focus("password")
    assert person.focused.get_attribute("aria-describedby") == "password-error"
    assert person.find("#password-error").text
    assert person.find("#email").get_attribute("value") == EMAIL


def test_a_password_is_shown_and_hidden_again(person: Person) -> None:
    password, button = person.find("#password"), person.find("button.show")
    password.send_keys(PASSWORD)
    for kind, label in [("text", "Hide"), ("password", "Show")]:
        button.click()
        assert (password.get_attribute("type"), button.text) == (kind, label)


def test_a_browser_reports_no_error_and_asks_no_other_host(person: Person) -> None:
    hosts(person.driver)
    person.open(f"{SIGN_IN}?next={quote(SIGN_OUT + '/../account', safe='')}")
    person.send(ACCOUNT, email=EMAIL, password=PASSWORD)
    person.open(SIGN_OUT)
    person.go(SUBMIT, SIGN_IN)
    assert console_errors(person.driver) == []
    assert hosts(person.driver) == {urlsplit(person.url).netloc}


def test_a_page_of_another_site_neither_signs_out_nor_shows_a_page_in_a_frame(
    person: Person,
) -> None:
    person.sign_in()
    for path in (SIGN_OUT, SIGN_IN):
        person.driver.get(
            f"data:text/html,<form method=post action={person.url}{path}><button>Win</button>"
        )
        person.go("button", path)
        assert "Error: " in person.driver.title
        person.open(ACCOUNT)
        assert person.path == ACCOUNT
        assert EMAIL in person.find("main").text
    person.driver.get(f"data:text/html,<iframe src={person.url}{SIGN_IN}></iframe>")
    person.driver.switch_to.frame(0)
    address = person.driver.execute_script("return location.href")
    assert address == "chrome-error://chromewebdata/"


def test_pages_store_nothing_but_cookies_that_no_script_can_read(person: Person) -> None:
    person.sign_in()
    readable = "return [localStorage.length, sessionStorage.length, document.cookie]"
    assert person.driver.execute_script(readable) == [0, 0, ""]
    assert person.driver.get_cookie("userauth")


def test_after_signing_out_the_way_back_shows_nothing(person: Person) -> None:
    person.sign_in()
    person.go(SIGN_OUT_BUTTON, SIGN_IN)
    person.driver.back()
    person.await_path(SIGN_IN)
    assert EMAIL not in person.driver.page_source
