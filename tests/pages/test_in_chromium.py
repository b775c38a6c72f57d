"""The pages in Chromium, as people with different needs use them."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.accessibility import screen, violations, without_script
from tests.harness.api import PASSWORD
from tests.harness.browser import chromium, console_errors, hosts
from tests.harness.mail import MAIL
from tests.harness.processes import ServerProcess, running_server
from tests.harness.sql import run_sql

pytestmark = pytest.mark.needs("chromium", "chromedriver")
SECONDS = 20
EMAIL = "susan@example.com"
SIGN_IN = "/auth/sign-in"
ACCOUNT = "/auth/account"
SIGN_OUT = "/auth/sign-out"
SIGN_OUT_BUTTON = "form[action='/auth/sign-out'] button"
WITHOUT_SESSION = [
    *("/auth/sign-up", "/auth/forgot", "/auth/reset", "/auth/verify", "/auth/undo"),
]
WITH_SESSION = [
    f"{ACCOUNT}/{name}"
    for name in ("name", "email", "password", "devices", "events", "delete", "verification")
]
# Where to put pictures of the pages.
PICTURES = os.environ.get("PAGE_PICTURES")


class Person:
    """A person at a browser without cookies."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver, self.url = driver, url
        driver.get(url + SIGN_IN)
        driver.delete_all_cookies()
        driver.get(url + SIGN_IN)
        driver.get_log("browser")  # type: ignore[no-untyped-call]

    @property
    def path(self) -> str:
        return urlsplit(self.driver.current_url).path

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.focused.send_keys(*keys)

    def await_path(self, path: str) -> None:
        WebDriverWait(self.driver, SECONDS, poll_frequency=0.05).until(lambda _: self.path == path)

    def await_focus(self, name: str) -> None:
        """Wait for the browser, which moves the focus a moment after it shows a page."""
        WebDriverWait(self.driver, SECONDS, poll_frequency=0.05).until(
            lambda _: self.focused.get_attribute("id") == name
        )

    def sign_in(self, path: str = SIGN_IN, password: str = PASSWORD) -> None:
        """Open a page and send its form."""
        self.open(path)
        self.find("#email").send_keys(EMAIL)
        self.send("#password", password)

    def send(self, selector: str, text: str = "") -> None:
        """Type into a field, send its form, and wait for the next page."""
        field = self.find(selector)
        field.send_keys(text, Keys.ENTER)
        wait = WebDriverWait(self.driver, SECONDS, poll_frequency=0.05)
        wait.until(expected_conditions.staleness_of(field))

    def picture(self, name: str) -> None:
        """Take a picture for docs/pages.md if ``make pictures`` runs the test."""
        if PICTURES is not None:
            self.driver.save_screenshot(Path(PICTURES) / f"{name}.png")


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    run_sql(postgres, "TRUNCATE users, tokens, clients, throttle, events, reserved_emails")
    log = tmp_path_factory.mktemp("pages") / "log"
    variables = {"DATABASE_URL": postgres, **{f"USERAUTH_{name}": MAIL[name] for name in MAIL}}
    with running_server(variables, log) as running:
        body = {"email": EMAIL, "password": PASSWORD, "name": "Susan"}
        httpx.post(f"{running.url}/api/user/register", json=body).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with chromium() as running:
        yield running


@pytest.fixture
def person(driver: Chrome, server: ServerProcess) -> Person:
    return Person(driver, server.url)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 320)])
def test_every_page_and_state_is_accessible_in_both_schemes_and_on_a_narrow_screen(
    person: Person, scheme: str, width: int
) -> None:
    def check(name: str) -> None:
        assert violations(person.driver) == [], name
        scrolled = "return document.documentElement.scrollWidth"
        assert person.driver.execute_script(scrolled) <= width, name
        person.picture(f"{name}-{scheme}-{width}")

    with screen(person.driver, width=width, scheme=scheme):
        person.open(f"{SIGN_IN}?next=/docs")
        check("sign-in")
        person.send("#email")
        check("sign-in-missing")
        person.sign_in(password="wrong horse battery")
        check("sign-in-wrong")
        person.find("button[lang=de]").click()
        check("sign-in-german")
        person.open("/auth/nothing")
        check("error")
        person.sign_in()
        person.await_path(ACCOUNT)
        check("account")
        person.open(SIGN_IN)
        check("signed-in")
        person.open(SIGN_OUT)
        check("sign-out")


def test_the_pages_of_the_account_and_of_messages_are_accessible(person: Person) -> None:
    with screen(person.driver, width=320, scheme="dark"):
        for path in WITHOUT_SESSION:
            person.open(path)
            assert (person.path, violations(person.driver)) == (path, [])
        person.sign_in()
        person.await_path(ACCOUNT)
        for path in WITH_SESSION:
            person.open(path)
            assert (person.path, violations(person.driver)) == (path, [])
            scrolled = "return document.documentElement.scrollWidth"
            assert person.driver.execute_script(scrolled) <= 320, path


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


def test_an_error_is_announced_and_has_the_focus(person: Person) -> None:
    person.open(SIGN_IN)
    person.send("#email", EMAIL)
    assert person.driver.title == "Error: Sign in · Account"
    assert person.find("[role=alert]").is_displayed()
    person.await_focus("password")
    assert person.focused.get_attribute("aria-describedby") == "password-error"
    assert person.find("#password-error").text
    assert person.find("#email").get_attribute("value") == EMAIL


def test_pages_work_without_script(person: Person) -> None:
    with without_script(person.driver):
        person.sign_in(password="wrong horse battery")
        assert "not correct" in person.find("[role=alert]").text
        assert "Show" not in person.find("main").text
        person.sign_in()
        assert person.path == ACCOUNT
        assert EMAIL in person.find("main").text
        person.find(SIGN_OUT_BUTTON).click()
        assert person.path == SIGN_IN
        person.sign_in(f"{SIGN_IN}?next=/docs")
        person.await_path("/docs")


def test_a_password_is_shown_and_hidden_again(person: Person) -> None:
    password, button = person.find("#password"), person.find("button.show")
    password.send_keys(PASSWORD)
    for kind, label in [("text", "Hide"), ("password", "Show")]:
        button.click()
        assert (password.get_attribute("type"), button.text) == (kind, label)


def test_a_browser_reports_no_error_and_asks_no_other_host(person: Person) -> None:
    hosts(person.driver)
    person.sign_in(f"{SIGN_IN}?next={quote(SIGN_OUT + '/../account', safe='')}")
    person.await_path(ACCOUNT)
    person.open(SIGN_OUT)
    person.find(SIGN_OUT_BUTTON).click()
    assert console_errors(person.driver) == []
    assert hosts(person.driver) == {urlsplit(person.url).netloc}


def test_a_page_of_another_site_neither_signs_out_nor_shows_a_page_in_a_frame(
    person: Person,
) -> None:
    person.sign_in()
    person.await_path(ACCOUNT)
    for path in (SIGN_OUT, SIGN_IN):
        person.driver.get(
            f"data:text/html,<form method=post action={person.url}{path}><button>Win</button>"
        )
        person.find("button").click()
        person.await_path(path)
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
    person.await_path(ACCOUNT)
    readable = "return [localStorage.length, sessionStorage.length, document.cookie]"
    assert person.driver.execute_script(readable) == [0, 0, ""]
    assert person.driver.get_cookie("userauth")


def test_after_signing_out_the_way_back_shows_nothing(person: Person) -> None:
    person.sign_in()
    person.await_path(ACCOUNT)
    person.find(SIGN_OUT_BUTTON).click()
    person.await_path(SIGN_IN)
    person.driver.back()
    person.await_path(SIGN_IN)
    assert EMAIL not in person.driver.page_source
