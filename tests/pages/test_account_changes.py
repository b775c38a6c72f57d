"""/auth/account/name, /email, /password and /delete: the changes of an account."""

import pytest

from tests.harness.accounts import (
    ACCOUNT,
    EMAIL,
    NEW_PASSWORD,
    event_kinds,
    session_ids,
    signed_in,
)
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser
from tests.harness.mail import MAIL
from tests.harness.mail_calls import NEW_EMAIL
from tests.harness.sql import run_sql

NAME, CHANGE = f"{ACCOUNT}/name", f"{ACCOUNT}/email"
NEW, DELETE = f"{ACCOUNT}/password", f"{ACCOUNT}/delete"
with_mail = override_settings(**MAIL, REGISTRATION__VERIFICATION="off")


@pytest.mark.gen_test
async def test_a_name_is_changed_and_removed(api: Api, browser: FormBrowser, dsn: str) -> None:
    await signed_in(api, browser, name="Susan")
    page = await browser.get(NAME)
    assert page.find("input", name="name").attributes["value"] == "Susan"
    assert page.focused == ["name"]
    answer = await browser.submit(page, NAME, name="Susan Miller", current_password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=name")
    overview = await browser.get(answer.headers["Location"])
    assert "The name was changed." in overview.text
    assert "Susan Miller" in overview.text
    assert (await browser.send(NAME, name="", current_password=PASSWORD)).status == 303
    assert run_sql(dsn, "SELECT name FROM users") == [(None,)]
    assert "No name" in (await browser.get(ACCOUNT)).text


@pytest.mark.gen_test
async def test_a_faulty_name_is_shown_again(api: Api, browser: FormBrowser) -> None:
    await signed_in(api, browser)
    browser.headers["Accept-Language"] = "de"
    answer = await browser.send(NAME, name=201 * "a", current_password=PASSWORD)
    assert answer.status == 422
    field = answer.find("input", name="name").attributes
    assert (field["value"], field["aria-describedby"]) == (201 * "a", "name-error")
    assert "muss 1 bis 200 Zeichen haben" in answer.text


@with_mail
@pytest.mark.gen_test
async def test_a_change_of_the_address_sends_a_message_unless_it_is_taken(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    await api.register("bob@example.com")
    shown = []
    for email in (NEW_EMAIL, "bob@example.com"):
        answer = await browser.send(CHANGE, email=email, current_password=PASSWORD)
        assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=email")
        page = await browser.get(answer.headers["Location"])
        assert "A message was sent to the new address" in page.text
        assert page.find("a", href="/auth/verify")
        shown.append(page.text)
    assert shown[0] == shown[1]
    assert EMAIL in shown[0]
    sent = run_sql(dsn, "SELECT recipient FROM messages WHERE recipient IS NOT NULL")
    assert sent == [(NEW_EMAIL,)]


@with_mail
@pytest.mark.parametrize("email", ["", "susan", EMAIL])
@pytest.mark.gen_test
async def test_a_faulty_address_is_shown_again(api: Api, browser: FormBrowser, email: str) -> None:
    await signed_in(api, browser)
    answer = await browser.send(CHANGE, email=email, current_password=PASSWORD)
    assert answer.status == 422
    field = answer.find("input", name="email").attributes
    assert (field["value"], field["aria-invalid"]) == (email, "true")


@pytest.mark.gen_test
async def test_a_new_password_replaces_the_session_and_signs_out_the_others(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    token = await api.token()
    other = FormBrowser(api.url)
    await other.sign_in(EMAIL, PASSWORD)
    old = browser.cookies["userauth"]
    answer = await browser.send(NEW, password=NEW_PASSWORD, current_password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=password")
    assert "Max-Age" not in browser.set_cookies["userauth"]
    assert browser.cookies["userauth"] != old
    assert len(session_ids(dsn)) == 1
    page = await browser.get(answer.headers["Location"])
    assert "All other devices are signed out." in page.text
    # Its form has a token of the new session.
    assert (await browser.submit(page, "/auth/language", language="de")).status == 303
    assert (await other.get(ACCOUNT)).status == 303
    other.close()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    browser.cookies["userauth"] = old
    assert (await browser.get(ACCOUNT)).status == 303
    assert (await api.log_in(password=NEW_PASSWORD)).status == 200


@pytest.mark.gen_test
async def test_a_kept_session_stays_one_after_a_new_password(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD, keep_signed_in="yes")
    await browser.send(NEW, password=NEW_PASSWORD, current_password=PASSWORD)
    assert "Max-Age=2592000" in browser.set_cookies["userauth"]


@override_settings(PASSWORDS__REFUSE_COMMON=True)
@pytest.mark.parametrize(
    ("password", "reason"),
    [("", "fehlt"), ("short", "Zeichen haben"), (EMAIL, "wählen Sie ein anderes")],
)
@pytest.mark.gen_test
async def test_a_weak_password_is_rejected_with_the_reason(
    api: Api, browser: FormBrowser, dsn: str, password: str, reason: str
) -> None:
    await signed_in(api, browser)
    sessions = session_ids(dsn)
    browser.headers["Accept-Language"] = "de"
    answer = await browser.send(NEW, password=password, current_password=PASSWORD)
    assert answer.status == 422
    assert reason in answer.text
    field = answer.find("input", name="password").attributes
    assert (field["value"], field["autocomplete"]) == ("", "new-password")
    assert "Set-Cookie" not in answer.headers
    assert session_ids(dsn) == sessions


@pytest.mark.gen_test
async def test_a_deleted_account_is_signed_out(api: Api, browser: FormBrowser, dsn: str) -> None:
    await signed_in(api, browser)
    answer = await browser.send(DELETE, understood="yes", current_password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}/deleted")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert "userauth" not in browser.cookies
    page = await browser.get(answer.headers["Location"])
    assert page.status == 200
    assert "Your account is deleted, and you are signed out." in page.text
    assert (await browser.submit(page, "/auth/language", language="de")).target.endswith("/deleted")
    assert EMAIL not in page.html
    assert (await browser.get(ACCOUNT)).status == 303
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.gen_test
async def test_without_the_tick_nothing_is_deleted_and_no_password_is_verified(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    before = event_kinds(dsn)
    answer = await browser.send(DELETE, current_password="wrong horse battery")
    assert answer.status == 422
    assert answer.find("a", href="#understood")
    assert answer.focused == ["understood"]
    assert event_kinds(dsn) == before
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(1,)]


@pytest.mark.gen_test
async def test_the_page_of_a_deletion_is_not_shown_in_a_session(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    answer = await browser.get(f"{DELETE}d")
    assert (answer.status, answer.headers["Location"]) == (303, ACCOUNT)
