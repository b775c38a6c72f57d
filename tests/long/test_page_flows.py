"""What people do on the pages: with a mouse, without script, and with the keyboard alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from rules.message_kinds import MessageKind
from tests.harness.accessibility import screen, without_script
from tests.harness.api import PASSWORD
from tests.harness.mail_calls import NEW_EMAIL, NEW_PASSWORD, Sent
from tests.harness.page_site import PageSite, page_site
from tests.harness.person import (
    ACCOUNT,
    EMAIL,
    SIGN_IN,
    SIGN_OUT,
    SIGN_OUT_BUTTON,
    SUBMIT,
    KeyboardPerson,
    Person,
)

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium", "chromedriver")]
DEVICES = f"{ACCOUNT}/devices"
NOTICE = "[role=status]"
ALERT = "[role=alert]"
REQUEST_VERIFICATION = "form[action='/auth/account/verification'] button"
WRONG = "wrong horse battery"


@dataclass(frozen=True)
class Way:
    """How a person uses the pages."""

    scheme: str
    width: int
    language: str
    kind: type[Person] = Person
    runs_scripts: bool = True


WAYS = {
    "mouse": Way("light", 1000, "en"),
    "no-script": Way("dark", 320, "de", runs_scripts=False),
    "keyboard": Way("dark", 320, "de", kind=KeyboardPerson),
}


@pytest.fixture
def site(dsn: str, tmp_path: Path) -> Iterator[PageSite]:
    with page_site(dsn, tmp_path / "log") as running:
        yield running


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def person(driver: Chrome, site: PageSite, way: Way) -> Iterator[Person]:
    with ExitStack() as stack:
        stack.enter_context(screen(driver, width=way.width, scheme=way.scheme))
        if not way.runs_scripts:
            stack.enter_context(without_script(driver))
        person = way.kind(driver, site.url)
        if way.language != "en":
            person.go(f"button[lang={way.language}]", SIGN_IN)
        assert person.has("button.show:not([hidden])") == way.runs_scripts
        yield person
        assert person.language == way.language


def open_link(person: Person, way: Way, path: str, sent: Sent) -> None:
    """Open the link of a message; type its code where no script takes the secret of the link."""
    person.open(f"{path}?request={sent.id}#{sent.secrets.token}")
    assert person.has("#code") != way.runs_scripts
    type_code(person, sent)


def type_code(person: Person, sent: Sent) -> None:
    if person.has("#code"):
        person.fill(code=sent.secrets.code)


def follow(person: Person, name: str) -> None:
    """Go to another page of the account."""
    person.go(f"nav a[href='{ACCOUNT}/{name}']", f"{ACCOUNT}/{name}")


def test_a_person_signs_up_and_confirms_the_address(
    person: Person, site: PageSite, way: Way
) -> None:
    person.open(f"/auth/sign-up?next={ACCOUNT}/name")
    person.send(f"{ACCOUNT}/name", email=EMAIL, password=PASSWORD)
    person.open(ACCOUNT)
    person.go(REQUEST_VERIFICATION, ACCOUNT)
    assert person.has(NOTICE)
    open_link(person, way, "/auth/verify", site.message(MessageKind.VERIFICATION, EMAIL))
    person.go(SUBMIT, "/auth/verify")
    assert person.has(NOTICE)
    person.go("main a.main", ACCOUNT)
    assert not person.has(REQUEST_VERIFICATION)


def test_a_person_signs_in_goes_on_and_signs_out(person: Person, site: PageSite) -> None:
    site.register(EMAIL)
    person.open(f"{SIGN_IN}?next=/docs")
    person.send(SIGN_IN, email=EMAIL, password=WRONG)
    assert person.has(ALERT)
    person.fill(email=EMAIL, password=PASSWORD)
    person.choose("#keep_signed_in")
    person.go(SUBMIT, "/docs")
    person.open(SIGN_OUT)
    person.go(SUBMIT, SIGN_IN)
    person.open(ACCOUNT)
    assert person.path == SIGN_IN


def test_a_person_sets_a_new_password_by_a_message(
    person: Person, site: PageSite, way: Way
) -> None:
    site.register(EMAIL)
    person.open(SIGN_IN)
    person.go("a[href='/auth/forgot']", "/auth/forgot")
    person.send("/auth/reset", email=EMAIL)
    assert person.has(NOTICE)
    sent = site.message(MessageKind.PASSWORD_RESET, EMAIL)
    open_link(person, way, "/auth/reset", sent)
    # The secret survives a rejected password, and leaves the address.
    person.send("/auth/reset", password="short")
    assert person.has("#password-error")
    assert sent.secrets.token not in person.driver.current_url
    type_code(person, sent)
    person.send(SIGN_IN, password=NEW_PASSWORD)
    assert person.driver.current_url == f"{site.url}{SIGN_IN}?done=reset#main"
    person.send(ACCOUNT, email=EMAIL, password=NEW_PASSWORD)


def test_a_person_changes_the_name_and_the_password(person: Person, site: PageSite) -> None:
    site.register(EMAIL)
    person.sign_in()
    follow(person, "name")
    person.send(f"{ACCOUNT}/name", name="Susanne", current_password=WRONG)
    assert person.has("#current_password-error")
    assert person.find("#name").get_attribute("value") == "Susanne"
    person.send(ACCOUNT, current_password=PASSWORD)
    assert "Susanne" in person.text
    assert person.has(NOTICE)
    follow(person, "password")
    person.send(ACCOUNT, current_password=PASSWORD, password=NEW_PASSWORD)
    assert person.has(NOTICE)
    person.go(SIGN_OUT_BUTTON, SIGN_IN)
    person.sign_in(password=NEW_PASSWORD)


def test_a_person_changes_the_address_and_another_restores_it(
    person: Person, site: PageSite, way: Way
) -> None:
    site.register(EMAIL)
    site.verify(EMAIL)
    person.sign_in()
    follow(person, "email")
    person.send(ACCOUNT, email=NEW_EMAIL, current_password=PASSWORD)
    assert person.has(NOTICE)
    open_link(person, way, "/auth/verify", site.message(MessageKind.EMAIL_CHANGE, NEW_EMAIL))
    person.go(SUBMIT, "/auth/verify")
    person.open(ACCOUNT)
    assert NEW_EMAIL in person.text
    open_link(person, way, "/auth/undo", site.message(MessageKind.EMAIL_UNDO, EMAIL))
    person.choose("#restore")
    person.go(SUBMIT, SIGN_IN)
    assert person.has(NOTICE)
    open_link(person, way, "/auth/reset", site.message(MessageKind.UNDO_RESET, EMAIL))
    person.send(SIGN_IN, password=NEW_PASSWORD)
    person.sign_in(password=NEW_PASSWORD)
    assert EMAIL in person.text


def test_a_person_signs_out_other_devices(person: Person, site: PageSite) -> None:
    site.register(EMAIL)
    links = [f"a[href='{DEVICES}/{site.log_in(EMAIL)}']" for _ in range(3)]
    person.sign_in()
    follow(person, "devices")
    person.go(links[0])
    person.send(DEVICES, current_password=PASSWORD)
    assert person.has(NOTICE)
    assert [person.has(link) for link in links] == [False, True, True]
    person.go(f"a[href='{DEVICES}/others']", f"{DEVICES}/others")
    person.send(DEVICES, current_password=PASSWORD)
    assert person.has(NOTICE)
    assert not [link for link in links if person.has(link)]
    assert person.has("main ul.rows li")


def test_a_person_reads_what_happened_and_deletes_the_account(
    person: Person, site: PageSite
) -> None:
    site.register(EMAIL)
    person.sign_in()
    follow(person, "events")
    assert person.has("main ul.rows time")
    follow(person, "delete")
    person.choose("#understood")
    person.send(f"{ACCOUNT}/deleted", current_password=PASSWORD)
    person.go("main a.main", SIGN_IN)
    person.send(SIGN_IN, email=EMAIL, password=PASSWORD)
    assert person.has(ALERT)
