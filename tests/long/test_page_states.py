"""Every page in every state: accessible, in both color schemes, on narrow and on zoomed screens."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome

from tests.harness.accessibility import cut_off, loaded_with_pages, screen, violations
from tests.harness.configuration import ROOT
from tests.harness.page_site import PageSite, page_site
from tests.harness.page_states import (
    ANONYMOUS,
    NEW,
    RESTRICTED,
    RESTRICTED_SIGNED_IN,
    SIGNED_IN,
    UNVERIFIED,
    State,
    prepare,
    show,
)
from tests.harness.person import EMAIL, Person
from tests.harness.screenshots import take_screenshot

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.needs("chromium", "chromedriver"),
]
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="40"></svg>'
PICTURES = ROOT / "docs" / "pages"
MAX_BYTES = 1_500_000


@dataclass(frozen=True)
class Look:
    """How a person sees the pages."""

    scheme: str
    width: int
    language: str


LOOKS = [Look("light", 1000, "en"), Look("dark", 320, "de")]
look = pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.scheme}-{look.width}")


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    with page_site(dsn, tmp_path / "log") as running:
        yield running


@pytest.fixture
def places(site: PageSite) -> Mapping[str, str]:
    return prepare(site)


def check(
    driver: Chrome,
    url: str,
    states: Sequence[State],
    look: Look,
    places: Mapping[str, str],
    *,
    in_session: bool = False,
) -> None:
    """Check pages in a look, also zoomed and in a larger font."""
    person = Person(driver, url)
    if look.language != "en":
        person.go(f"button[lang={look.language}]")
    if in_session:
        person.sign_in()
    wrong = {}
    with loaded_with_pages(driver):
        for state in states:
            if found := faults(person, state, look, places):
                wrong[state.name] = found
    assert wrong == {}


def faults(person: Person, state: State, look: Look, places: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a page."""
    driver = person.driver
    with screen(driver, width=look.width, scheme=look.scheme):
        show(person, state, places)
        assert person.language == look.language, state.name
        if state.typed is None:
            assert person.path == urlsplit(state.path.format_map(places)).path
        found = violations(driver) + cut_off(driver)
    with screen(driver, width=640, zoom=2):
        found += [f"zoomed: {each}" for each in cut_off(driver)]
    with screen(driver, width=640):
        driver.execute_script("document.documentElement.style.fontSize = '200%'")
        found += [f"larger: {each}" for each in cut_off(driver)]
    return found


@look
def test_each_state_without_a_session_is_accessible(
    driver: Chrome, site: PageSite, places: Mapping[str, str], look: Look
) -> None:
    check(driver, site.url, ANONYMOUS, look, places)


@look
def test_each_state_in_a_session_is_accessible(
    driver: Chrome, site: PageSite, places: Mapping[str, str], look: Look
) -> None:
    check(driver, site.url, SIGNED_IN, look, places, in_session=True)
    site.verify(EMAIL)
    check(driver, site.url, SIGNED_IN[:1], look, places, in_session=True)


@look
def test_a_site_with_a_logo_and_links_and_without_messages_is_accessible(
    driver: Chrome, dsn: str, tmp_path: Path, look: Look
) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text(LOGO)
    settings = {
        "MAIL__URL": "",
        "REGISTRATION__OPEN": "false",
        "PAGES__LOGO": str(logo),
        "PAGES__TITLE": "The Example Society of Extraordinarily Long Names",
        "PAGES__LINKS": "Imprint=https://example.com/imprint,Data protection=https://example.com/d",
    }
    with ExitStack() as stack:
        # The server without sign-ups has the user of another one.
        open_site = stack.enter_context(page_site(dsn, tmp_path / "log"))
        open_site.register(EMAIL)
        site = stack.enter_context(page_site(dsn, tmp_path / "other-log", **settings))
        check(driver, site.url, RESTRICTED, look, {})
        check(driver, site.url, RESTRICTED_SIGNED_IN, look, {}, in_session=True)


@look
def test_a_site_that_requires_a_verified_address_is_accessible(
    driver: Chrome, dsn: str, tmp_path: Path, look: Look
) -> None:
    required = {"REGISTRATION__VERIFICATION": "required"}
    with page_site(dsn, tmp_path / "log", **required) as site:
        site.register(NEW)
        check(driver, site.url, UNVERIFIED, look, {})


def test_what_is_cut_off_is_found(driver: Chrome, site: PageSite) -> None:
    person = Person(driver, site.url)
    assert cut_off(driver) == []
    person.driver.execute_script("document.querySelector('h1').style.width = '200vw'")
    found = cut_off(driver)
    assert [each for each in found if each.startswith("<h1")]
    assert found[-1] == "page"


def test_each_page_is_shown_in_the_documentation(
    driver: Chrome, site: PageSite, places: Mapping[str, str], tmp_path: Path
) -> None:
    """Take the screenshots of docs/pages.md: into docs/ if ``make screenshots`` runs the test."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for scheme in ("light", "dark"):
        with screen(driver, width=480, scheme=scheme):
            person = Person(driver, site.url)
            take_screenshots(person, ANONYMOUS, places, folder, scheme)
            person.sign_in()
            take_screenshots(person, SIGNED_IN, places, folder, scheme)
    taken = {file.name for file in folder.glob("*.webp")}
    page = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    assert taken == {*re.findall(r'src="pages/([^"]+)"', page)}
    assert taken == {file.name for file in PICTURES.iterdir()}
    assert sum(file.stat().st_size for file in folder.glob("*.webp")) < MAX_BYTES


def take_screenshots(
    person: Person, states: Sequence[State], places: Mapping[str, str], folder: Path, scheme: str
) -> None:
    for state in states:
        if state.is_pictured:
            show(person, state, places)
            take_screenshot(person.driver, folder / f"{state.name}-{scheme}.webp")
