"""A person at Chromium, who opens pages, fills in forms and presses buttons."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from selenium.common import WebDriverException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.api import PASSWORD

SECONDS = 20
# More elements than any page has.
_MAX_TABS = 80
SIGN_IN = "/auth/sign-in"
ACCOUNT = "/auth/account"
SIGN_OUT = "/auth/sign-out"
SIGN_OUT_BUTTON = "form[action='/auth/sign-out'] button"
SUBMIT = "main form button.main"
EMAIL = "susan@example.com"


class Person:
    """A person with a mouse, at a browser without cookies."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver, self.url = driver, url
        self._wait = WebDriverWait(driver, SECONDS, poll_frequency=0.05)
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        driver.get(url + SIGN_IN)
        driver.get_log("browser")  # type: ignore[no-untyped-call]

    @property
    def path(self) -> str:
        return urlsplit(self.driver.current_url).path

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    @property
    def text(self) -> str:
        """Return what the page shows."""
        return self.find("body").text

    @property
    def language(self) -> str | None:
        return self.find("html").get_attribute("lang")

    def open(self, path: str) -> None:
        if "#" in path:
            # Another fragment alone would load nothing.
            self.driver.get("about:blank")
        self.driver.get(self.url + path)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def has(self, selector: str) -> bool:
        """Return whether the page has an element."""
        return bool(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.focused.send_keys(*keys)

    def await_path(self, path: str) -> None:
        self._wait.until(lambda _: self.path == path)

    def await_focus(self, name: str) -> None:
        """Wait for the browser, which moves the focus a moment after it shows a page."""
        self._wait.until(lambda _: self.focused.get_attribute("id") == name)

    def fill(self, **texts: str) -> None:
        """Replace the texts of fields."""
        for name, text in texts.items():
            field = self.find(f"#{name}")
            field.clear()
            field.send_keys(text)

    def choose(self, selector: str) -> None:
        """Press a button, follow a link or tick a box."""
        self.find(selector).click()

    def go(self, selector: str, path: str | None = None) -> None:
        """Choose what leads to another page, and wait for it; without a path, for any."""
        with self.next_page():
            self.choose(selector)
        if path is not None:
            self.await_path(path)

    def send(self, path: str | None = None, **texts: str) -> None:
        """Fill in the form of the page, send it, and wait for the next page."""
        self.fill(**texts)
        self.go(SUBMIT, path)

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> None:
        """Sign in, and wait for the account."""
        self.open(SIGN_IN)
        self.send(ACCOUNT, email=email, password=password)

    @contextmanager
    def next_page(self) -> Iterator[None]:
        """Wait for another page after the block."""
        page = self.find("html")
        yield
        self._wait.until(lambda _: _was_replaced(page))
        self._wait.until(lambda _: self.has("body"))


def _was_replaced(page: WebElement) -> bool:
    """Return whether a document is shown no more; Chromium reports that by several errors."""
    try:
        page.is_enabled()
    except WebDriverException:
        return True
    return False


class KeyboardPerson(Person):
    """A person who has no mouse, and reaches everything with the tabulator."""

    def fill(self, **texts: str) -> None:
        for name, text in texts.items():
            self._reach(f"#{name}")
            all_of_it = self._keys().key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
            all_of_it.send_keys(text or Keys.DELETE).perform()

    def choose(self, selector: str) -> None:
        is_box = self._reach(selector).get_attribute("type") == "checkbox"
        self._keys().send_keys(Keys.SPACE if is_box else Keys.ENTER).perform()

    def _reach(self, selector: str) -> WebElement:
        """Move the focus to an element, and check that a person sees where it is."""
        wanted = self.find(selector)
        for _ in range(_MAX_TABS):
            if self.focused == wanted:
                assert wanted.is_displayed()
                return wanted
            self._keys().send_keys(Keys.TAB).perform()
        raise AssertionError(f"The keyboard does not reach {selector} of {self.path}.")

    def _keys(self) -> ActionChains:
        # By default, each action takes a quarter of a second.
        return ActionChains(self.driver, duration=0)
