"""Another site, also on a host of the same domain, against the pages in Chromium."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.api import PASSWORD
from tests.harness.certificates import make_certificate
from tests.harness.other_site import OtherSite, other_site
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import ACCOUNT, EMAIL, SECONDS, SIGN_IN, SIGN_OUT, Person
from tests.harness.sql import run_sql

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver", "openssl")]
HOST, NEIGHBOR, STRANGER = "auth.example.test", "evil.example.test", "evil.test"
ATTACKER = "attacker@example.com"
CONFIRMED = {"current_password": PASSWORD}
# What an attacker would send if the password of the person were known.
FORMS: Mapping[str, Mapping[str, str]] = {
    SIGN_OUT: {},
    SIGN_IN: {"email": ATTACKER, "password": PASSWORD},
    "/auth/sign-up": {"email": "new@example.com", "password": PASSWORD},
    "/auth/forgot": {"email": EMAIL},
    "/auth/language": {"language": "de"},
    "/auth/verify": {"send": "yes"},
    f"{ACCOUNT}/verification": {},
    f"{ACCOUNT}/name": {"name": "Mallory", **CONFIRMED},
    f"{ACCOUNT}/email": {"email": "mallory@example.com", **CONFIRMED},
    f"{ACCOUNT}/password": {"password": "mallory's password", **CONFIRMED},
    f"{ACCOUNT}/devices/others": CONFIRMED,
    f"{ACCOUNT}/delete": {"understood": "yes", **CONFIRMED},
}
READABLE = (ACCOUNT, f"{ACCOUNT}/data", SIGN_IN, "/api/user", "/api/verify")
# Requests of a script for each path: the names of errors, or the kinds of responses.
SEND = """
const [url, paths, done] = arguments;
const body = () => new URLSearchParams({current_password: "x", understood: "yes"});
const kinds = [
  {}, {method: "POST", body: body()}, {method: "POST", body: "{}", headers: {"X-A": "b"}},
  {mode: "no-cors"}, {mode: "no-cors", method: "POST", body: body()},
];
const sent = paths.flatMap((path) => kinds.map(async (kind) => {
  try { return (await fetch(url + path, {credentials: "include", ...kind})).type; }
  catch (error) { return error.name; }
}));
Promise.all(sent).then(done);
"""
HOSTILE_NEXT = [
    *("//evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test", "https:evil.test"),
    *("/\t/evil.test", "\t//evil.test", "/\n/evil.test", "//evil.test/%2e%2e", "///evil.test"),
    *("javascript:alert(1)", "data:text/html,x", "evil.test", "@evil.test", ".evil.test"),
    *("/auth/..//evil.test", "/x/../\\evil.test", "/%2f/evil.test", "/%5cevil.test", "?//evil"),
    *("//auth.example.test@evil.test", "/\u2044evil.test", "\u3000//evil.test", "/\u3002/evil"),
]


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    """Run a server over plain HTTP, for the calls that prepare a test."""
    with page_site(dsn, tmp_path / "log") as running:
        running.register(EMAIL, "Susan")
        running.register(ATTACKER)
        yield running


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path / "tls")


@pytest.fixture
def other(files: tuple[Path, Path]) -> Iterator[OtherSite]:
    with other_site(files) as running:
        yield running


@pytest.fixture
def person(
    driver: Chrome, site: PageSite, files: tuple[Path, Path], tmp_path: Path
) -> Iterator[Person]:
    """Open the pages over HTTPS, on the same database."""
    settings = {"SERVER__CERTIFICATE": str(files[0]), "SERVER__PRIVATE_KEY": str(files[1])}
    with page_site(site.dsn, tmp_path / "https-log", **settings) as secure:
        yield Person(driver, f"https://{HOST}:{urlsplit(secure.url).port}")


def stored(site: PageSite) -> list[list[Any]]:
    """Return what a form could have changed."""
    return [
        run_sql(site.dsn, "SELECT users::text FROM users ORDER BY id"),
        run_sql(site.dsn, "SELECT id, revoked_at FROM tokens ORDER BY id"),
        run_sql(site.dsn, "SELECT id FROM messages ORDER BY id"),
    ]


def form_token(client: httpx.Client, site: PageSite) -> str:
    """Return the token of a form in the browser of the attacker."""
    found = re.search(r'name="form_token" value="([^"]+)"', client.get(site.url + SIGN_IN).text)
    assert found
    return found[1]


def session_of_attacker(site: PageSite) -> str:
    with httpx.Client(timeout=30) as client:
        values = {"form_token": form_token(client, site), **FORMS[SIGN_IN]}
        answer = client.post(site.url + SIGN_IN, data=values)
        assert answer.status_code == 303
        return answer.cookies["userauth"]


@pytest.mark.parametrize("host", [STRANGER, NEIGHBOR])
def test_a_form_of_another_site_changes_nothing(
    person: Person, site: PageSite, other: OtherSite, host: str
) -> None:
    with httpx.Client(timeout=30) as client:
        token = form_token(client, site)
    person.sign_in()
    before = stored(site)
    for path, values in FORMS.items():
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            inputs = "".join(
                f'<input name="{name}" value="{escape(value)}">'
                for name, value in {"form_token": token, **values}.items()
            )
            action = f'action="{person.url}{path}" enctype="{kind}"'
            html = f'<form method="post" {action}>{inputs}<button>Win</button></form>'
            person.driver.get(other.url(host, html))
            person.go("button", path)
            assert person.driver.title.startswith("Error: "), path
    assert stored(site) == before
    person.open(ACCOUNT)
    assert person.path == ACCOUNT
    assert EMAIL in person.text


@pytest.mark.parametrize("host", [STRANGER, NEIGHBOR])
def test_a_script_of_another_site_reads_and_changes_nothing(
    person: Person, site: PageSite, other: OtherSite, host: str
) -> None:
    person.sign_in()
    before = stored(site)
    images = "".join(f'<img src="{person.url}{path}">' for path in (*FORMS, *READABLE))
    person.driver.get(other.url(host, images))
    paths = [*FORMS, *READABLE]
    outcomes = person.driver.execute_async_script(SEND, person.url, paths)
    # An opaque response reveals nothing; that of a page does not even get to the site.
    unreadable = [["TypeError"] * 3 + [_opaque(path)] * 2 for path in paths]
    assert outcomes == [each for path in unreadable for each in path]
    assert stored(site) == before
    person.open(ACCOUNT)
    assert EMAIL in person.text


def _opaque(path: str) -> str:
    return "opaque" if path.startswith("/api/") else "TypeError"


@pytest.mark.parametrize("host", [STRANGER, NEIGHBOR])
def test_a_page_of_another_site_shows_no_page_in_a_frame(
    person: Person, other: OtherSite, host: str
) -> None:
    person.sign_in()
    for path in (SIGN_IN, SIGN_OUT, ACCOUNT, f"{ACCOUNT}/delete", "/auth/nothing"):
        person.driver.get(other.url(host, f'<iframe src="{person.url}{path}"></iframe>'))
        person.driver.switch_to.frame(0)
        address = person.driver.execute_script("return location.href")
        assert address == "chrome-error://chromewebdata/", path


@pytest.mark.parametrize("host", [STRANGER, NEIGHBOR])
def test_a_window_that_another_site_opened_is_out_of_its_reach(
    person: Person, other: OtherSite, host: str
) -> None:
    driver = person.driver
    person.sign_in()
    html = (
        f"<button onclick=\"opened = window.open('{person.url}{ACCOUNT}', 'name')\">Open</button>"
    )
    driver.get(other.url(host, html))
    first = driver.current_window_handle
    person.choose("button")
    wait = WebDriverWait(driver, SECONDS)
    wait.until(lambda _: len(driver.window_handles) == 2)
    [second] = {*driver.window_handles} - {first}
    try:
        driver.switch_to.window(second)
        person.await_path(ACCOUNT)
        assert driver.execute_script("return [opener, name]") == [None, ""]
        driver.switch_to.window(first)
        wait.until(lambda _: driver.execute_script("return opened.closed"))
    finally:
        driver.switch_to.window(second)
        driver.close()
        driver.switch_to.window(first)


def test_cookies_that_a_neighbor_sets_are_not_those_of_the_pages(
    person: Person, site: PageSite, other: OtherSite
) -> None:
    session = session_of_attacker(site)
    # Chromium takes the last two: Python would remove their white space, and find the prefix.
    names = ["{}", "__Host-{}", "__host-{}", "__Secure-{}", "=__Host-{}"]
    names += ["\xa0__Host-{}", "\x85__Host-{}"]
    values = {"userauth": session, "userauth-form": "x" * 22, "userauth-language": "de"}
    fields = [
        ("Set-Cookie", f"{name.format(cookie)}={value}; Domain=example.test; Path=/; Secure")
        for name in names
        for cookie, value in values.items()
    ]
    person.driver.get(other.url(NEIGHBOR, "", *fields))
    person.open(ACCOUNT)
    planted = [cookie for cookie in person.driver.get_cookies() if cookie["value"] == session]
    assert {cookie["domain"] for cookie in planted} == {".example.test"}
    # Selenium does not show the byte before the name.
    assert {"userauth", "__Host-userauth"} <= {cookie["name"] for cookie in planted}
    assert (person.path, person.language) == (SIGN_IN, "en")
    person.send(ACCOUNT, email=EMAIL, password=PASSWORD)
    assert EMAIL in person.text
    # A new cookie does not replace the session either.
    person.driver.get(other.url(NEIGHBOR, "", *fields))
    person.open(ACCOUNT)
    assert EMAIL in person.text


def test_no_next_leads_to_another_host(person: Person) -> None:
    person.sign_in()
    for path in HOSTILE_NEXT:
        for text in (quote(path, safe=""), quote(path, safe="/\\:@%?.")):
            person.driver.get(f"{person.url}{SIGN_IN}?next={text}")
            # As the browser reads the address.
            target = person.find("main a.main").get_property("host")
            assert target == urlsplit(person.url).netloc, path
