"""The languages of pages: by preference or choice, and one file for each."""

import ast
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from pages import page_routes
from pages.texts import read_texts
from rules.errors import problem_types
from tests.harness.accounts import ACCOUNT, EMAIL, event_kinds, signed_in
from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import ROOT, override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql

PATH = "/auth/sign-in"
BACK = "/app?a=b&c=%20"
NEEDED = ("request", "next")
with_mail = override_settings(**MAIL, REGISTRATION__VERIFICATION="off")
FOLDER = ROOT / "pages" / "languages"
# Where messages about fields of forms are.
MODULES = [
    *(ROOT / "rules" / f"{name}.py" for name in ("emails", "names", "text_bounds", "errors")),
    *(ROOT / "rules" / "password_rules.py", ROOT / "contract" / "forms.py"),
    *(ROOT / "services" / f"{name}.py" for name in ("email_change", "confirmation")),
    *(ROOT / "pages").glob("*.py"),
]
# Forms of pages ignore unknown fields, and their values are strings.
IMPOSSIBLE = {"is not a field of this call", "must be a string"}
# "The server could not process this. Try again later." says enough.
WITHOUT_TEXT = {
    *("request-timeout", "header-too-large", "too-many-header-fields", "unsupported-coding"),
    *("unsupported-version", "internal-error"),
    # Fields have messages of their own. Pages take no credentials but a password, and without a
    # session they lead to the sign-in.
    *("invalid-fields", "credentials-missing", "token-invalid", "token-expired"),
}


async def switched(browser: FormBrowser, page: Page) -> Page:
    """Choose German on a page, and return where that leads."""
    chosen = await browser.submit(page, "/auth/language", language="de")
    assert chosen.status == 303
    again = await browser.get(chosen.target)
    assert again.find("html").attributes["lang"] == "de"
    assert "; Max-Age=31536000;" in browser.set_cookies["userauth-language"]
    browser.cookies.pop("userauth-language")
    return again


@pytest.mark.gen_test
async def test_a_page_is_in_the_preferred_language(browser: FormBrowser) -> None:
    for preferred, language in [
        ("de", "de"),
        ("de-AT, en;q=0.9", "de"),
        ("en, de;q=0.9", "en"),
        ("fr", "en"),
        ("", "en"),
        ("de;q=0", "en"),
    ]:
        page = await browser.get(PATH, accept_language=preferred)
        assert page.find("html").attributes["lang"] == language, preferred
        assert page.find("button", value="de" if language == "en" else "en")


@pytest.mark.gen_test
async def test_the_choice_of_a_person_wins_and_returns_to_the_page(browser: FormBrowser) -> None:
    page = await browser.get(f"{PATH}?next=%2Fapp%3Fa%3Db")
    chosen = await browser.submit(page, "/auth/language", language="de")
    assert chosen.status == 303
    again = await browser.get(chosen.headers["Location"], accept_language="en")
    assert again.find("html").attributes["lang"] == "de"
    assert again.form(PATH).values["next"] == "/app?a=b"
    wrong = await browser.submit(again, PATH, email="", password="")
    assert "fehlt" in wrong.text
    assert wrong.title.startswith("Fehler: ")
    back = await browser.submit(wrong, "/auth/language", language="en")
    again = await browser.get(back.headers["Location"])
    assert again.find("html").attributes["lang"] == "en"
    assert again.form(PATH).values["next"] == "/app?a=b"


@pytest.mark.gen_test
async def test_an_unknown_language_is_rejected(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    for language in ("fr", "../de", "", "DE"):
        answer = await browser.submit(page, "/auth/language", language=language)
        assert answer.status == 422
        browser.cookies["userauth-language"] = language
        assert (await browser.get(PATH)).find("html").attributes["lang"] == "en"


@pytest.mark.gen_test
async def test_the_switch_stays_on_the_pages(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    for hostile in ("//evil.example", "/app", "https://evil.example"):
        answer = await browser.submit(page, "/auth/language", language="de", next=hostile)
        assert answer.headers["Location"] == PATH


@with_mail
@pytest.mark.gen_test
async def test_the_switch_keeps_what_a_form_needs_in_each_state(browser: FormBrowser) -> None:
    for name in ("sign-in", "sign-up", "forgot", "reset", "verify", "undo"):
        await check_states(browser, f"/auth/{name}")


async def check_states(browser: FormBrowser, path: str) -> None:
    """Switch the language of a form: as it opens, with faults, and after a forged one."""
    page = await browser.get(f"{path}?request=7f3a&next={quote(BACK, safe='')}")
    sent = page.form(path).values
    empty = await browser.submit(page, path)
    forged = await browser.post(path, sent | {"form_token": "x"})
    assert [each.status for each in (page, empty, forged)] == [200, 422, 403]
    for each in (page, empty, forged):
        again = await switched(browser, each)
        assert again.status == 200
        kept = again.form(path).values
        assert {key: kept.get(key) for key in NEEDED} == {key: sent.get(key) for key in NEEDED}
        assert kept["next"] == BACK
    links = [each.attributes["href"] for each in page.elements if each.tag == "a"]
    assert {link for link in links if link.startswith("/auth/")} <= {
        f"/auth/{each}?{urlencode({'next': BACK})}" for each in ("sign-in", "sign-up", "forgot")
    }


@with_mail
@pytest.mark.gen_test
async def test_the_switch_returns_to_each_page_of_a_session_in_each_state(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    forms = [f"{ACCOUNT}/{each}" for each in ("name", "email", "password", "delete")]
    forms.append(f"{ACCOUNT}/devices/others")
    for address in (
        *(ACCOUNT, f"{ACCOUNT}?done=name", f"{ACCOUNT}/devices?done=device", f"{ACCOUNT}/events"),
        *(*forms, f"{ACCOUNT}/devices/nothing", "/auth/sign-out"),
        *("/auth/verify?request=7f3a&done=confirmed", "/auth/sign-in?next=/app"),
    ):
        page = await browser.get(address)
        assert page.form("/auth/language").values["next"] == address
        assert (await switched(browser, page)).status == page.status
    for path in forms:
        faulty = await browser.send(path)
        assert faulty.status == 422
        assert (await switched(browser, faulty)).form(path)


@with_mail
@pytest.mark.gen_test
async def test_the_switch_of_a_form_without_a_page_leads_to_the_account_or_back(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    overview = await browser.get(ACCOUNT)
    for _ in range(6):
        limited = await browser.submit(overview, f"{ACCOUNT}/verification")
    unknown = await browser.submit(overview, "/auth/language", language="fr", next="/auth/verify")
    for page, status, address in ((limited, 429, ACCOUNT), (unknown, 422, "/auth/verify")):
        assert page.status == status
        assert page.form("/auth/language").values["next"] == address


@pytest.mark.gen_test
async def test_the_switch_keeps_the_longest_way_back(browser: FormBrowser) -> None:
    for path in (f"/{1_999 * 'a'}", f"/?{1_998 * '/'}"):
        page = await browser.get(f"/auth/reset?request=7f3a&next={path}")
        for _ in range(2):
            assert page.form("/auth/reset").values["next"] == path
            page = await switched(browser, page)
            assert page.form("/auth/reset").values["request"] == "7f3a"
            # Also after a form that is shown again.
            page = await browser.submit(page, "/auth/reset")
            assert page.status == 422


@with_mail
@pytest.mark.gen_test
async def test_the_choice_in_a_session_is_the_language_of_messages_too(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    page = await browser.get(ACCOUNT)
    for _ in range(2):
        assert (await browser.submit(page, "/auth/language", language="de")).status == 303
    assert event_kinds(dsn).count("language-changed") == 1
    await browser.submit(page, f"{ACCOUNT}/verification")
    assert run_sql(dsn, "SELECT language FROM messages") == [("de",)]
    assert "Sprache der Nachrichten geändert" in (await browser.get(f"{ACCOUNT}/events")).text


@pytest.mark.gen_test
async def test_neither_a_choice_without_a_session_nor_a_sign_in_changes_the_language_of_the_user(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    await browser.submit(await browser.get(PATH), "/auth/language", language="de")
    await browser.sign_in(EMAIL, PASSWORD)
    assert run_sql(dsn, "SELECT language FROM users") == [(None,)]


def test_another_language_is_one_file(tmp_path: Path) -> None:
    english = (FOLDER / "en.toml").read_text("utf-8")
    (tmp_path / "fr.toml").write_text(english.replace('"Sign in"', '"Se connecter"'), "utf-8")
    texts = read_texts((FOLDER, tmp_path))
    assert set(texts) == {"de", "en", "fr"}
    assert texts["fr"]("sign-in.title") == "Se connecter"


def test_a_file_of_the_administrator_replaces_single_texts(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('[sign-in]\ntitle = "Hallo"\n', "utf-8")
    german = read_texts((FOLDER, tmp_path))["de"]
    assert (german("sign-in.title"), german("sign-in.submit")) == ("Hallo", "Anmelden")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[sign-in]\nunknown = "Hallo"\n', r"not used: sign-in\.unknown"),
        ('[sign-in]\ntitle = "Hallo {name}"\n', r"sign-in\.title contains a value"),
        ("[sign-in\n", r"at line 1"),
        ('[sign-in]\ntitle = "Hallo {"\n', r"Single '{' encountered"),
        ('[sign-in]\ntitle = "Hallo {name:>9}"\n', r"sign-in\.title: write a value as {name}"),
        ('title = "Hallo"\n', r"title is not a text in a section"),
    ],
)
def test_a_faulty_file_of_texts_is_rejected_with_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "de.toml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=rf"^de\.toml: .*{reason}"):
        read_texts((FOLDER, tmp_path))


def test_a_faulty_text_in_english_is_reported_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text('[sign-in]\ntitle = "Hello {name!r}"\n', "utf-8")
    with pytest.raises(ValueError, match=r"^en\.toml: sign-in\.title: write a value as {name}"):
        read_texts((FOLDER, tmp_path))


def test_a_language_that_lacks_texts_is_rejected_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "fr.toml").write_text('[language]\nname = "Français"\n', "utf-8")
    with pytest.raises(
        ValueError, match=r"fr\.toml: \d+ texts are missing: account-delete\.submit"
    ):
        read_texts((FOLDER, tmp_path))


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (1, "1 second", "1 Sekunde"),
        (59, "59 seconds", "59 Sekunden"),
        (119, "119 seconds", "119 Sekunden"),
        (120, "2 minutes", "2 Minuten"),
        (121, "3 minutes", "3 Minuten"),
        (7200, "2 hours", "2 Stunden"),
    ],
)
def test_a_wait_is_never_shown_shorter_than_it_is(seconds: int, english: str, german: str) -> None:
    texts = read_texts((FOLDER,))
    assert texts["en"].duration(seconds) == english
    assert texts["de"].duration(seconds) == german


def messages_of_rules() -> set[str]:
    """Return the messages about fields in the code, with a number in place of each value."""
    found = set()
    for file in MODULES:
        tree = ast.parse(file.read_text("utf-8"))
        inner = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else 7 for part in node.values
                ]
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and id(node) not in inner:
                found.add(str(node.value))
    return {text for text in found if text.startswith(("is ", "must "))}


def test_each_message_about_a_field_is_in_german() -> None:
    german = read_texts((FOLDER,))["de"]
    messages = messages_of_rules()
    assert {"is required", "must have 7 to 7 characters"} <= messages
    assert {text for text in messages if german.message(text) == text} == IMPOSSIBLE


def test_the_texts_of_notices_are_those_that_pages_show() -> None:
    shown = {f"notice.{done}" for _, page in page_routes for done in page.notices}
    for texts in read_texts((FOLDER,)).values():
        assert {key for key in texts.by_key if key.startswith("notice.")} == shown


def test_each_error_that_a_person_can_cause_has_a_text_in_each_language() -> None:
    for texts in read_texts((FOLDER,)).values():
        without = {
            kind.name
            for kind in problem_types()
            if not texts.has(f"problem.{kind.name}") and not texts.has(f"problem.{kind.status}")
        }
        assert without == WITHOUT_TEXT
