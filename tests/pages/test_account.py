"""/auth/account: the overview, and what holds for each page below it."""

import asyncio

import pytest

from tests.harness.accounts import ACCOUNT, EMAIL, NEW_PASSWORD, WRONG, event_kinds, signed_in
from tests.harness.api import PASSWORD, Api
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser
from tests.harness.mail import MAIL
from tests.harness.mail_calls import message_ids
from tests.harness.sql import run_sql
from tests.harness.waiting import until

OTHERS = f"{ACCOUNT}/devices/others"
SIGN_OUT = "/auth/sign-out"
# Each form that wants the password, with values that are valid beside it.
FORMS = {
    f"{ACCOUNT}/name": {"name": "Susan Miller"},
    f"{ACCOUNT}/email": {"email": "susan@example.org"},
    f"{ACCOUNT}/password": {"password": NEW_PASSWORD},
    f"{ACCOUNT}/delete": {"understood": "yes"},
    OTHERS: {},
}
PAGES = [ACCOUNT, f"{ACCOUNT}/devices", f"{ACCOUNT}/events", f"{ACCOUNT}/data", *FORMS]
SETTINGS = {**MAIL, "REGISTRATION__VERIFICATION": "off"}
with_mail = override_settings(**SETTINGS)


@with_mail
@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.gen_test
async def test_each_page_is_linked_and_shown_in_both_languages(
    api: Api, browser: FormBrowser, language: str
) -> None:
    await signed_in(api, browser)
    browser.headers["Accept-Language"] = language
    overview = await browser.get(ACCOUNT)
    links = [each.attributes["href"] for each in overview.elements if each.tag == "a"]
    assert set(PAGES) - {OTHERS} <= set(links)
    titles = set()
    for path in [*PAGES[:3], *FORMS]:
        page = await browser.get(path)
        assert page.status == 200
        assert page.find("html").attributes["lang"] == language
        titles.add(page.title)
        if path != OTHERS:
            assert page.find("a", href=path).attributes["aria-current"] == "page"
    assert len(titles) == len(PAGES) - 1


@with_mail
@pytest.mark.gen_test
async def test_each_page_in_a_session_has_one_button_to_sign_out(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    pages = [await browser.get(path) for path in PAGES if path != f"{ACCOUNT}/data"]
    pages += [await browser.send(path) for path in FORMS]
    others = ("/auth/verify", "/auth/sign-in", "/auth/sign-up", SIGN_OUT, f"{ACCOUNT}/devices/x")
    pages += [await browser.get(path) for path in others]
    assert {page.status for page in pages} == {200, 422, 404}
    for page in pages:
        assert [form.action for form in page.forms].count(SIGN_OUT) == 1, page.title
    assert (await browser.submit(pages[0], SIGN_OUT)).target == "/auth/sign-in"
    assert (await browser.get(ACCOUNT)).status == 303
    without = await browser.get("/auth/sign-in")
    assert SIGN_OUT not in [form.action for form in without.forms]


@with_mail
@pytest.mark.gen_test
async def test_a_password_manager_knows_the_user_of_each_form(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    for path in FORMS:
        for page in (await browser.get(path), await browser.send(path)):
            form = page.html.partition(f'action="{path}"')[2].partition("</form>")[0]
            assert form.index('autocomplete="username"') < form.index('autocomplete="current-')
            field = page.find("input", autocomplete="username").attributes
            assert (field["type"], field["value"]) == ("text", EMAIL)
            assert {"readonly", "hidden"} <= field.keys()
    # A link may be of a message to another user of the browser.
    reset = await browser.get("/auth/reset")
    assert EMAIL not in reset.html


@with_mail
@pytest.mark.gen_test
async def test_a_disabled_user_is_led_to_the_sign_in_and_changes_nothing(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    token = (await browser.get(ACCOUNT)).form(SIGN_OUT).values
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    before = event_kinds(dsn)
    for path in PAGES:
        assert (await browser.get(path)).target.startswith("/auth/sign-in?next=")
    for path, values in FORMS.items():
        answer = await browser.post(path, token | values | {"current_password": PASSWORD})
        assert answer.target.startswith("/auth/sign-in?next=")
    assert event_kinds(dsn) == before
    assert not message_ids(dsn)


@pytest.mark.gen_test
async def test_without_messages_the_address_cannot_be_changed_or_verified(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    page = await browser.get(ACCOUNT)
    assert not [each for each in page.elements if each.attributes.get("href") == PAGES[5]]
    assert "confirmed" not in page.text
    assert (await browser.get(f"{ACCOUNT}/email")).status == 501
    token = page.form("/auth/sign-out").values
    for path in (f"{ACCOUNT}/email", f"{ACCOUNT}/verification"):
        assert (await browser.post(path, token)).status == 501


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.gen_test
async def test_without_a_session_a_page_leads_to_the_sign_in(
    browser: FormBrowser, path: str
) -> None:
    expected = f"/auth/sign-in?next={path.replace('/', '%2F')}"
    for method in ("GET", "HEAD"):
        answer = await browser.request(method, path)
        assert (answer.status, answer.headers["Location"]) == (303, expected)
        assert not answer.content
    if path in FORMS:
        form = (await browser.get("/auth/sign-in")).form("/auth/sign-in").values
        answer = await browser.post(path, form | FORMS[path] | {"current_password": PASSWORD})
        assert (answer.status, answer.headers["Location"]) == (303, expected)


@with_mail
@pytest.mark.gen_test
async def test_without_a_session_a_button_leads_to_a_page_that_exists(
    browser: FormBrowser,
) -> None:
    form = (await browser.get("/auth/sign-in")).form("/auth/sign-in").values
    answer = await browser.post(f"{ACCOUNT}/verification", form)
    assert answer.headers["Location"] == "/auth/sign-in?next=%2Fauth%2Faccount"


@with_mail
@pytest.mark.parametrize("path", FORMS)
@pytest.mark.gen_test
async def test_without_the_current_password_nothing_is_changed_or_counted(
    api: Api, browser: FormBrowser, dsn: str, path: str
) -> None:
    await signed_in(api, browser)
    before = event_kinds(dsn)
    answer = await browser.send(path)
    assert answer.status == 422
    assert answer.find("p", id="current_password-error")
    assert "is required" in answer.text
    # Each field that is missing has an error of its own.
    missing = {*FORMS[path], "current_password"} - {"name"}
    found = {each.attributes.get("id") for each in answer.elements if each.tag == "p"}
    assert {f"{name}-error" for name in missing} <= found
    assert event_kinds(dsn) == before
    counted = "SELECT max(failures) FROM throttle WHERE subject NOT LIKE 'registration:%'"
    assert run_sql(dsn, counted) == [(0,)]


@with_mail
@pytest.mark.parametrize("path", FORMS)
@pytest.mark.gen_test
async def test_a_session_that_is_revoked_meanwhile_leads_to_the_sign_in(
    api: Api, browser: FormBrowser, dsn: str, hashes: BlockedHashes, path: str
) -> None:
    hashes.may_continue.set()
    await signed_in(api, browser)
    page = await browser.get(path)
    hashes.threads.clear()
    hashes.may_continue.clear()
    sent = asyncio.ensure_future(
        browser.submit(page, path, **FORMS[path], current_password=PASSWORD)
    )
    await until(lambda: hashes.threads)
    run_sql(dsn, "UPDATE tokens SET revoked_at = now()")
    hashes.may_continue.set()
    expected = f"/auth/sign-in?next={path.replace('/', '%2F')}"
    answer = await sent
    assert (answer.status, answer.headers["Location"]) == (303, expected)


@with_mail
@pytest.mark.parametrize("path", FORMS)
@pytest.mark.gen_test
async def test_a_change_with_a_wrong_password_changes_nothing_and_is_counted(
    api: Api, browser: FormBrowser, dsn: str, path: str
) -> None:
    await signed_in(api, browser)
    before = event_kinds(dsn)
    answer = await browser.send(path, **FORMS[path], current_password=WRONG)
    assert answer.status == 422
    field = answer.find("input", name="current_password").attributes
    assert (field["value"], field["aria-invalid"]) == ("", "true")
    assert "is not the current password" in answer.text
    assert WRONG not in answer.html
    assert NEW_PASSWORD not in answer.html
    assert sorted([*before, "password-failed"]) == event_kinds(dsn)
    assert not message_ids(dsn, unsent=True)
    assert (await browser.get(ACCOUNT)).status == 200


@with_mail
@pytest.mark.gen_test
async def test_after_too_many_wrong_passwords_each_form_has_to_wait(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    path = f"{ACCOUNT}/name"
    for _ in range(15):
        answer = await browser.send(path, **FORMS[path], current_password=WRONG)
        if answer.status == 429:
            break
    for each, values in FORMS.items():
        answer = await browser.send(each, **values, current_password=PASSWORD)
        assert answer.status == 429
        assert answer.form(each)
        assert "Try again in" in answer.text
    assert "name-changed" not in event_kinds(dsn)


@with_mail
@pytest.mark.parametrize("path", [*FORMS, f"{ACCOUNT}/verification"])
@pytest.mark.gen_test
async def test_a_form_of_another_site_changes_nothing(
    api: Api, browser: FormBrowser, dsn: str, path: str
) -> None:
    before_session = (await browser.get("/auth/sign-in")).form("/auth/sign-in").values
    await signed_in(api, browser, name="Susan")
    before = event_kinds(dsn)
    values = FORMS.get(path, {}) | {"current_password": PASSWORD}
    token = (await browser.get(ACCOUNT)).form("/auth/sign-out").values
    for form, site in [
        ({}, "same-origin"),
        ({"form_token": before_session["form_token"]}, "same-origin"),
        (token, "cross-site"),
        (token, "same-site"),
    ]:
        answer = await browser.post(path, form | values, sec_fetch_site=site)
        assert answer.status == 403
        assert "Susan Miller" not in answer.html
        if path in FORMS:
            # The new form works; what another site may have typed is replaced.
            shown = answer.form(path).values
            assert shown.get("name", "Susan") == "Susan"
            retried = await browser.submit(answer, path)
            assert retried.status == 422
    assert event_kinds(dsn) == before
    assert not message_ids(dsn, unsent=True)


@with_mail
@pytest.mark.gen_test
async def test_after_another_sign_in_no_page_has_data_of_the_person_before(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser, name="Susan Secret")
    await browser.submit(await browser.get(ACCOUNT), "/auth/sign-out")
    for path in PAGES:
        page = await browser.get(path)
        assert (page.status, page.content) == (303, b"")
    await signed_in(api, browser, "bob@example.com", name="Bob")
    for path in PAGES:
        page = await browser.get(path)
        assert page.status == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert EMAIL not in page.html
        assert "Secret" not in page.html


@with_mail
@pytest.mark.gen_test
async def test_the_message_of_a_verification_is_sent_again(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    page = await browser.get(ACCOUNT)
    assert "not confirmed" in page.text
    answer = await browser.submit(page, f"{ACCOUNT}/verification")
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=verification")
    assert len(message_ids(dsn)) == 1
    after = await browser.get(answer.headers["Location"])
    assert "A message was sent to your address" in after.text
    assert after.find("a", href="/auth/verify")
    limited = [(await browser.submit(page, f"{ACCOUNT}/verification")).status for _ in range(20)]
    assert limited[-1] == 429


@with_mail
@pytest.mark.gen_test
async def test_a_verified_address_has_no_such_button(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    run_sql(dsn, "UPDATE users SET email_verified_at = now()")
    page = await browser.get(ACCOUNT)
    assert "(confirmed)" in page.text
    assert [form.action for form in page.forms] == [SIGN_OUT, "/auth/language"]
    assert not [each for each in page.elements if each.attributes.get("href") == "/auth/verify"]


@pytest.mark.parametrize("done", ["unknown", "<b>", "%ff", ""])
@pytest.mark.gen_test
async def test_an_unknown_report_is_not_shown(api: Api, browser: FormBrowser, done: str) -> None:
    await signed_in(api, browser)
    page = await browser.get(f"{ACCOUNT}?done={done}")
    assert not [each for each in page.elements if each.attributes.get("role") == "status"]
