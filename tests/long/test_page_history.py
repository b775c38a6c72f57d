"""What a browser keeps of the pages: its history, other tabs, and forms of another session."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.harness.accessibility import without_script
from tests.harness.api import PASSWORD
from tests.harness.certificates import make_certificate
from tests.harness.other_site import other_site
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import (
    ACCOUNT,
    EMAIL,
    SIGN_IN,
    SIGN_OUT_BUTTON,
    SUBMIT,
    Person,
)
from tests.harness.sql import run_sql

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver")]
NAME = "Susan Sontag"
OTHER = "bob@example.com"
PATHS = [ACCOUNT] + [
    f"{ACCOUNT}/{name}"
    for name in ("name", "email", "password", "devices", "devices/others", "events", "delete")
]
KEEP = "window.kept = true"
IS_KEPT = "return window.kept === true"


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    with page_site(dsn, tmp_path / "log") as running:
        running.register(EMAIL, NAME)
        running.register(OTHER)
        yield running


@pytest.fixture
def person(driver: Chrome, site: PageSite) -> Person:
    return Person(driver, site.url)


def shows_person(person: Person) -> bool:
    """Return whether the page, or what its fields contain, is about the first person."""
    source = person.driver.page_source
    return any(text in source for text in (EMAIL, NAME))


@pytest.mark.parametrize("runs_scripts", [True, False])
def test_after_a_sign_out_no_page_of_the_history_shows_the_account(
    person: Person, *, runs_scripts: bool
) -> None:
    with ExitStack() as stack:
        if not runs_scripts:
            stack.enter_context(without_script(person.driver))
        person.sign_in()
        for path in PATHS:
            person.driver.get(person.url + path)
            assert person.path == path
        person.driver.get(person.url + ACCOUNT)
        person.go(SIGN_OUT_BUTTON, SIGN_IN)
        for _ in PATHS:
            person.driver.back()
            person.await_path(SIGN_IN)
            assert not shows_person(person)


@pytest.mark.needs("openssl")
def test_the_browser_keeps_pages_of_others_and_none_of_an_account(
    person: Person, tmp_path: Path
) -> None:
    with other_site(make_certificate(tmp_path / "tls")) as other:
        person.driver.get(other.url("kept.test", "<p>A page without a policy</p>"))
        person.driver.execute_script(KEEP)
        person.open(SIGN_IN)
        person.driver.back()
        # Otherwise the rest would show nothing.
        assert person.driver.execute_script(IS_KEPT)
        person.sign_in()
        person.driver.execute_script(KEEP)
        person.driver.get(other.url("kept.test", ""))
        person.driver.back()
        person.await_path(ACCOUNT)
        assert not person.driver.execute_script(IS_KEPT)


def test_the_next_person_at_the_browser_sees_nothing_of_the_one_before(person: Person) -> None:
    person.sign_in()
    for path in PATHS:
        person.driver.get(person.url + path)
    person.driver.get(person.url + ACCOUNT)
    assert shows_person(person)
    person.go(SIGN_OUT_BUTTON, SIGN_IN)
    assert not shows_person(person)
    person.send(ACCOUNT, email=OTHER, password=PASSWORD)
    for path in PATHS:
        person.driver.get(person.url + path)
        assert person.path == path
        assert not shows_person(person), path
    for _ in range(2 * len(PATHS) + 2):
        person.driver.back()
        assert not shows_person(person), person.driver.current_url


def test_a_form_of_a_tab_acts_for_its_session_alone(person: Person, site: PageSite) -> None:
    driver = person.driver
    person.sign_in()
    person.open(f"{ACCOUNT}/name")
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        person.open(ACCOUNT)
        person.go(SIGN_OUT_BUTTON, SIGN_IN)
        person.send(ACCOUNT, email=OTHER, password=PASSWORD)
        driver.switch_to.window(first)
        person.send(f"{ACCOUNT}/name", name="Mallory", current_password=PASSWORD)
        assert driver.title.startswith("Error: ")
        assert not shows_person(person)
        assert run_sql(site.dsn, "SELECT name FROM users WHERE email = %s", (OTHER,)) == [(None,)]
        # The way back leads to a form of the new session.
        person.go(f"main a[href='{ACCOUNT}/name']")
        person.send(ACCOUNT, name="Bob", current_password=PASSWORD)
        assert "Bob" in person.text
    finally:
        for other in {*driver.window_handles} - {first}:
            driver.switch_to.window(other)
            driver.close()
        driver.switch_to.window(first)


def test_a_form_that_is_sent_twice_acts_once(person: Person, site: PageSite) -> None:
    person.open("/auth/sign-up")
    person.fill(email="new@example.com", password=PASSWORD)
    with person.next_page():
        person.driver.execute_script(
            "const button = document.querySelector(arguments[0]); button.click(); button.click();",
            SUBMIT,
        )
    count = "SELECT count(*) FROM users WHERE email = 'new@example.com'"
    assert run_sql(site.dsn, count) == [(1,)]
    person.driver.delete_all_cookies()
    person.sign_in("new@example.com")


def test_a_form_whose_cookie_was_deleted_is_shown_again_and_then_works(person: Person) -> None:
    person.open(SIGN_IN)
    person.driver.delete_all_cookies()
    person.send(SIGN_IN, email=EMAIL, password=PASSWORD)
    assert person.driver.title.startswith("Error: ")
    person.send(ACCOUNT, email=EMAIL, password=PASSWORD)
