"""Chromium in front of the sample configurations, with an application behind them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.harness.accessibility import violations, without_script
from tests.harness.api import PASSWORD, Api
from tests.harness.person import EMAIL, SIGN_IN, SIGN_OUT, SUBMIT, KeyboardPerson, Person
from tests.harness.protected_site import TRUSTED, Site, behind

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver", "openssl")]
PAGE = "/report?year=2026&q=a%20b%26c"
FETCH = """
const done = arguments[0];
Promise.all([{}, {method: "POST", body: "{}"}].map(async (options) => {
  const headers = {Accept: "application/json"};
  const answer = await fetch("/data", {headers, redirect: "manual", ...options});
  return [answer.status, answer.type];
})).then(done);
"""
POST = """
const form = document.createElement("form");
form.method = "POST";
form.action = "/report";
document.body.append(form);
form.submit();
"""
WAYS = ["mouse", "keyboard", "no-script"]
SAMPLES = [
    pytest.param("nginx.conf", marks=pytest.mark.needs("nginx")),
    pytest.param("Caddyfile", marks=pytest.mark.needs("caddy")),
    "traefik.yml",
]
any_sample = pytest.mark.parametrize("sample", SAMPLES)


def browse(
    sample: str, dsn: str, folder: Path, driver: Chrome, walk: Callable[[Site], None]
) -> None:
    """Run a proxy and an application, register a user, and use them with Chromium."""

    async def use(site: Site, api: Api) -> None:
        await api.register()
        await asyncio.to_thread(walk, site)

    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    behind(sample, dsn, folder, use, **TRUSTED)


def shown(person: Person) -> dict[str, str]:
    """Return the header fields that the application received, and shows."""
    fields: dict[str, str] = json.loads(person.text)
    return fields


@any_sample
@pytest.mark.parametrize("way", WAYS)
def test_a_person_signs_in_to_the_application_and_out_again(
    driver: Chrome, dsn: str, tmp_path: Path, sample: str, way: str
) -> None:
    def walk(site: Site) -> None:
        with without_script(driver) if way == "no-script" else nullcontext():
            person = (KeyboardPerson if way == "keyboard" else Person)(driver, site.url)
            person.open(PAGE)
            assert person.path == SIGN_IN
            person.send("/report", email=EMAIL, password=PASSWORD)
            assert person.driver.current_url == site.url + PAGE
            assert person.driver.get_cookie("__Host-userauth")
            fields = shown(person)
            assert fields["X-Auth-Email"] == EMAIL
            assert "userauth" not in fields.get("Cookie", "")
            person.open(SIGN_OUT)
            person.go(SUBMIT, SIGN_IN)
            person.open(PAGE)
            assert person.path == SIGN_IN

    browse(sample, dsn, tmp_path, driver, walk)


@any_sample
def test_scripts_and_forms_of_the_application_are_never_redirected(
    driver: Chrome, dsn: str, tmp_path: Path, sample: str
) -> None:
    def walk(site: Site) -> None:
        person = Person(driver, site.url)
        person.open(PAGE)
        person.send("/report", email=EMAIL, password=PASSWORD)
        # The session ends while the application shows a page.
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        seen = len(site.seen)
        assert driver.execute_async_script(FETCH) == [[401, "basic"]] * 2
        with person.next_page():
            driver.execute_script(POST)
        assert person.path == "/report"
        assert len(site.seen) == seen

    browse(sample, dsn, tmp_path, driver, walk)


@pytest.mark.needs("nginx")
def test_the_page_that_leads_to_the_application_is_accessible(
    driver: Chrome, dsn: str, tmp_path: Path
) -> None:
    def walk(site: Site) -> None:
        person = Person(driver, site.url)
        # The browser stays on the page, since the application responds with nothing to show.
        person.open(f"{SIGN_IN}?next=%2F%3Fstatus%3D204")
        person.send(email=EMAIL, password=PASSWORD)
        assert person.has("main a.main[href='/?status=204']")
        assert violations(driver) == []

    browse("nginx.conf", dsn, tmp_path, driver, walk)
