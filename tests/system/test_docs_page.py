"""The page at /docs in Chromium, used as the author of a client uses it."""

import json
import os
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.browser import chromium, console_errors, hosts
from tests.harness.databases import delete_rows
from tests.harness.openapi import document
from tests.harness.processes import ServerProcess, running_server

needs_browser = pytest.mark.needs("chromium", "chromedriver")
SECONDS = 20
# Where to put a picture of the page, of the last call.
PICTURE = os.environ.get("DOCS_PAGE_PICTURE")
EMAIL = "susan@example.com"
PASSWORD = "correct horse battery"
SCHEMES = ["password", "token", "tokenAsUserName", "session", "client"]


class Page:
    """The page, with the actions of a user."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self._driver = driver
        self._wait = WebDriverWait(driver, SECONDS, poll_frequency=0.05)
        driver.get(f"{url}/docs")
        self.find("#operations-user-getUser")

    def find(self, selector: str) -> WebElement:
        """Return an element when it is visible."""

        def seen(driver: WebDriver) -> WebElement | None:
            found = driver.find_elements(By.CSS_SELECTOR, selector)
            return found[0] if found and found[0].is_displayed() else None

        return cast(WebElement, self._wait.until(seen))

    def show(self, element: WebElement, place: str = "center") -> None:
        """Scroll to an element."""
        self._driver.execute_script(
            "arguments[0].scrollIntoView({block: arguments[1]})", element, place
        )

    def click(self, selector: str) -> None:
        """Click an element."""
        element = self.find(selector)
        self.show(element)
        element.click()

    def fill(self, selector: str, text: str) -> None:
        """Replace the text in a field, as from the clipboard: the page renders for each key."""
        element = self.find(selector)
        element.send_keys(Keys.CONTROL, "a")
        self._driver.execute_script("document.execCommand('insertText', false, arguments[0])", text)

    def authorize(self, scheme: str, **fields: str) -> None:
        """Enter the credentials of a scheme, as text by field."""
        self.click(".auth-wrapper .btn.authorize")
        place = f".auth-container:nth-child({1 + SCHEMES.index(scheme)})"
        for name, text in fields.items():
            self.fill(f"{place} #auth-{name}", text)
        self.click(f"{place} button[type=submit]")
        self.find(f"{place} button[aria-label='Remove authorization']")
        self.click(".close-modal")

    def call(self, operation: str, body: object = None) -> tuple[int, Any]:
        """Run an operation; return the status and the document on the page."""
        block = f"#operations-{operation}"
        self.click(f"{block} .opblock-summary-control")
        if body is not None:
            self.fill(f"{block} textarea.body-param__text", json.dumps(body))
        self.click(f"{block} .btn.execute")
        answer = f"{block} .live-responses-table"
        status = self.find(f"{answer} tr.response td.response-col_status").text
        shown = self.find(f"{answer} .highlight-code code").get_attribute("textContent")
        self.picture()
        # An open one makes all that follows slow.
        self.click(f"{block} .opblock-summary-control")
        return int(status.split()[0]), json.loads(shown or "")

    def picture(self) -> None:
        """Take the picture for docs/api.md if ``make screenshots`` runs the test."""
        if PICTURE is not None:
            self.show(self.find(".opblock.is-open"), "start")
            self._driver.save_screenshot(PICTURE)


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    delete_rows(postgres)
    log = tmp_path_factory.mktemp("docs-page") / "log"
    with running_server({"DATABASE_URL": postgres}, log) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as driver:
        yield driver


@needs_browser
def test_a_user_registers_logs_in_and_calls_with_the_token_on_the_page(
    server: ServerProcess, browser: Chrome
) -> None:
    page = Page(browser, server.url)
    fields = {"email": EMAIL, "password": PASSWORD, "name": "Susan"}
    status, user = page.call("user-postRegister", fields)
    assert (status, user["email"]) == (201, EMAIL)
    page.authorize("password", **{"basic-username": EMAIL, "basic-password": PASSWORD})
    status, issued = page.call("login-getLogin")
    assert status == 200
    page.authorize("token", **{"bearer-value": issued["token"]})
    assert page.call("user-getUser") == (200, user)
    assert console_errors(browser) == []
    assert hosts(browser) == {urlsplit(server.url).netloc}


@pytest.mark.long
@needs_browser
def test_a_wrong_password_is_an_error_on_the_page_without_a_browser_dialog(
    server: ServerProcess, browser: Chrome
) -> None:
    page = Page(browser, server.url)
    page.authorize("password", **{"basic-username": EMAIL, "basic-password": "wrong password"})
    status, problem = page.call("login-getLogin")
    assert (status, problem["type"]) == (401, "/docs/problems.md#credentials-invalid")
    [complaint] = console_errors(browser)
    assert "status of 401" in complaint


@pytest.mark.long
@needs_browser
def test_the_page_forgets_the_credentials_when_it_is_reloaded(
    server: ServerProcess, browser: Chrome
) -> None:
    page = Page(browser, server.url)
    page.authorize("password", **{"basic-username": EMAIL, "basic-password": PASSWORD})
    status, problem = Page(browser, server.url).call("user-getUser")
    assert (status, problem["type"]) == (401, "/docs/problems.md#credentials-missing")
    kept = browser.execute_script(
        "return [localStorage.length, sessionStorage.length, document.cookie]"
    )
    assert kept == [0, 0, ""]


@needs_browser
def test_an_inline_script_in_the_page_does_not_run(server: ServerProcess, browser: Chrome) -> None:
    """The browser enforces and reports the policy, so the other tests would notice a violation."""
    Page(browser, server.url)
    console_errors(browser)
    browser.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'document.title = 1'; document.body.append(script);"
        "const image = new Image(); image.src = 'http://example.com/x.png';"
    )
    violations = console_errors(browser)
    assert [entry for entry in violations if "script-src 'self'" in entry]
    assert [entry for entry in violations if "img-src 'self' data:" in entry]
    assert browser.title == "userauth: the API"


def test_the_security_schemes_are_in_the_order_that_these_tests_assume() -> None:
    assert [*document()["components"]["securitySchemes"]] == SCHEMES
