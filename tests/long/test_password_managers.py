"""What password managers make of the forms: Chromium's own parser, and the attributes it reads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.browser import chromium
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import ACCOUNT, EMAIL, SECONDS, SIGN_IN, Person

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver")]
# The DevTools protocol does not have the result of Chromium's parser (form_data_parser.cc). With
# this switch, Chromium writes it into the fields.
SWITCH = "--show-autofill-signatures"
USER, PASSWORD, NEW = "username_element", "password_element", "new_password_element"
ROLES = {
    SIGN_IN: {"email": USER, "password": PASSWORD},
    "/auth/sign-up": {"email": USER, "password": NEW},
    "/auth/reset": {"password": NEW},
    "/auth/verify": {"email": USER, "password": PASSWORD},
}
# A field that people do not see has the user name: it would be the name or the new address.
CONFIRMED = {"username": USER, "current_password": PASSWORD}
ROLES_IN_SESSION = {
    f"{ACCOUNT}/password": {**CONFIRMED, "password": NEW},
    f"{ACCOUNT}/name": CONFIRMED,
    f"{ACCOUNT}/email": CONFIRMED,
    f"{ACCOUNT}/delete": CONFIRMED,
    f"{ACCOUNT}/devices/others": CONFIRMED,
}
# What other password managers read as well (HTML, "Autofill"; WCAG 1.3.5).
PURPOSES = {
    SIGN_IN: {"email": "username", "password": "current-password"},
    "/auth/sign-up": {"email": "username", "password": "new-password"},
    "/auth/forgot": {"email": "username"},
    "/auth/reset": {"code": "one-time-code", "password": "new-password"},
    "/auth/verify": {
        "email": "username",
        "password": "current-password",
        "code": "one-time-code",
    },
    "/auth/undo": {"code": "one-time-code"},
}
CURRENT = {"username": "username", "current_password": "current-password"}
PURPOSES_IN_SESSION = {
    f"{ACCOUNT}/name": {**CURRENT, "name": "name"},
    f"{ACCOUNT}/email": {**CURRENT, "email": "email"},
    f"{ACCOUNT}/password": {**CURRENT, "password": "new-password"},
    f"{ACCOUNT}/devices/others": CURRENT,
    f"{ACCOUNT}/delete": CURRENT,
}


@pytest.fixture(scope="module")
def annotating_driver() -> Iterator[Chrome]:
    with chromium(SWITCH) as running:
        yield running


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    with page_site(dsn, tmp_path / "log") as running:
        running.register(EMAIL)
        yield running


@pytest.fixture
def person(annotating_driver: Chrome, site: PageSite) -> Person:
    return Person(annotating_driver, site.url)


def attributes(person: Person, name: str) -> dict[str, str]:
    """Return an attribute of the text fields of a page, by the name of the field."""
    fields = person.driver.find_elements(By.CSS_SELECTOR, f"main input[{name}]")
    return {
        str(field.get_attribute("name")): str(field.get_attribute(name))
        for field in fields
        if field.get_attribute("type") not in {"hidden", "checkbox"}
    }


def check_roles(person: Person, expected: dict[str, dict[str, str]]) -> None:
    wait = WebDriverWait(person.driver, SECONDS)
    for path, roles in expected.items():
        person.open(path)
        wait.until(lambda _: attributes(person, "pm_parser_annotation"))
        assert attributes(person, "pm_parser_annotation") == roles, path


def check_purposes(person: Person, expected: dict[str, dict[str, str]]) -> None:
    for path, purposes in expected.items():
        person.open(path)
        assert attributes(person, "autocomplete") == purposes, path


def test_chromium_finds_the_user_name_and_the_passwords_of_each_form(person: Person) -> None:
    check_roles(person, ROLES)
    person.sign_in()
    check_roles(person, ROLES_IN_SESSION)


def test_each_field_names_its_purpose(person: Person) -> None:
    check_purposes(person, PURPOSES)
    person.sign_in()
    check_purposes(person, PURPOSES_IN_SESSION)
