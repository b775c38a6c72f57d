"""The pages in Chromium, in short: tests/long has every state and every flow."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.harness.accessibility import cut_off, loaded_with_pages, screen, violations
from tests.harness.api import PASSWORD
from tests.harness.browser import chromium
from tests.harness.databases import delete_rows
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import ACCOUNT, EMAIL, SIGN_IN, SIGN_OUT, Person

pytestmark = pytest.mark.needs("chromium", "chromedriver")
WITHOUT_SESSION = [
    f"/auth/{name}" for name in ("sign-up", "forgot", "reset", "verify", "undo", "account/deleted")
]
WITH_SESSION = [
    ACCOUNT,
    SIGN_IN,
    SIGN_OUT,
    *(f"{ACCOUNT}/{name}" for name in ("name", "email", "password", "events", "delete")),
    *(f"{ACCOUNT}/devices", f"{ACCOUNT}/devices/others"),
]


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageSite]:
    delete_rows(postgres)
    with page_site(postgres, tmp_path_factory.mktemp("pages") / "log") as running:
        running.register(EMAIL, "Susan")
        yield running


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with chromium() as running:
        yield running


@pytest.fixture
def person(driver: Chrome, site: PageSite) -> Person:
    return Person(driver, site.url)


def faults(person: Person, path: str) -> list[str]:
    person.open(path)
    assert person.path == path
    return violations(person.driver) + cut_off(person.driver)


def test_each_page_is_accessible_on_a_narrow_and_dark_screen(person: Person) -> None:
    driver = person.driver
    with screen(driver, width=320, scheme="dark"), loaded_with_pages(driver):
        found = {path: faults(person, path) for path in [SIGN_IN, *WITHOUT_SESSION]}
        person.sign_in()
        found |= {path: faults(person, path) for path in WITH_SESSION}
    assert {path: each for path, each in found.items() if each} == {}


def test_the_program_that_checks_pages_finds_faults(person: Person) -> None:
    person.driver.execute_script("document.querySelector('label').remove()")
    assert [fault for fault in violations(person.driver) if fault.startswith("label:")]


def test_a_person_signs_in_and_out_with_the_keyboard_alone(person: Person) -> None:
    person.open(SIGN_IN)
    person.await_focus("email")
    person.press(EMAIL, Keys.TAB)
    assert person.focused.get_attribute("id") == "password"
    person.press(PASSWORD, Keys.TAB, Keys.TAB)
    assert person.focused.get_attribute("name") == "keep_signed_in"
    assert person.focused.value_of_css_property("outline-style") == "solid"
    person.press(Keys.SPACE)
    assert person.focused.is_selected()
    person.press(Keys.TAB)
    assert person.focused.text == "Sign in"
    person.press(Keys.ENTER)
    person.await_path(ACCOUNT)
    assert "expiry" in (person.driver.get_cookie("userauth") or {})
    person.find("body").send_keys(Keys.TAB)
    assert person.focused.get_attribute("href") == f"{person.url}{ACCOUNT}#main"
    assert person.focused.is_displayed()
    person.press(Keys.ENTER, Keys.TAB)
    while person.focused.text != "Sign out":
        person.press(Keys.TAB)
    person.press(Keys.ENTER)
    person.await_path(SIGN_IN)
    assert person.driver.get_cookie("userauth") is None
