"""/auth/sign-out: the end of a session."""

import pytest

from tests.harness.accounts import signed_in
from tests.harness.api import Api
from tests.harness.form_browser import FormBrowser
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
PATH = "/auth/sign-out"


@pytest.mark.gen_test
async def test_a_person_signs_out_by_the_button(api: Api, browser: FormBrowser, dsn: str) -> None:
    await signed_in(api, browser)
    cookie = browser.cookies["userauth"]
    answer = await browser.submit(await browser.get(PATH), PATH)
    assert (answer.status, answer.headers["Location"]) == (303, "/auth/sign-in")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert "userauth" not in browser.cookies
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]
    # A copy of the cookie, as another browser may have it.
    browser.cookies["userauth"] = cookie
    assert (await browser.get("/auth/account")).status == 303


@pytest.mark.gen_test
async def test_the_page_offers_the_sign_out_in_a_session_and_the_sign_in_without(
    api: Api, browser: FormBrowser
) -> None:
    without = await browser.get(PATH)
    assert "You are not signed in." in without.text
    assert without.find("a", href="/auth/sign-in")
    assert [form.action for form in without.forms] == ["/auth/language"]
    await signed_in(api, browser)
    within = await browser.get(PATH)
    assert [form.action for form in within.forms] == [PATH, "/auth/language"]
    assert "You are not signed in." not in within.text


@pytest.mark.gen_test
async def test_a_second_tab_signs_out_again(api: Api, browser: FormBrowser) -> None:
    await signed_in(api, browser)
    page, cookie = await browser.get(PATH), browser.cookies["userauth"]
    for _ in range(2):
        answer = await browser.submit(page, PATH)
        assert (answer.status, answer.headers["Location"]) == (303, "/auth/sign-in")
    # The cookie of a session that another device signed out.
    browser.cookies["userauth"] = cookie
    answer = await browser.submit(page, PATH)
    assert answer.status == 303
    assert "userauth" not in browser.cookies


@pytest.mark.gen_test
async def test_another_site_cannot_sign_a_person_out(api: Api, browser: FormBrowser) -> None:
    await signed_in(api, browser)
    form = (await browser.get(PATH)).form(PATH).values
    for headers in ({"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}):
        assert (await browser.post(PATH, form, **headers)).status == 403
        # The browser withholds the cookie from a form of another site.
        withheld = await browser.post(PATH, {}, cookie="a=b", **headers)
        assert withheld.status == 403
        assert withheld.form(PATH)
        assert "You are not signed in." not in withheld.text
    assert (await browser.post(PATH, {}, sec_fetch_site="same-origin")).status == 403
    without = await browser.post(PATH, {}, cookie="a=b")
    assert without.status == 303
    assert "Set-Cookie" not in without.headers
    assert (await browser.get("/auth/account")).status == 200


@pytest.mark.gen_test
async def test_a_token_of_a_form_from_before_the_session_does_not_sign_out(
    api: Api, browser: FormBrowser
) -> None:
    before = (await browser.get("/auth/sign-in")).form("/auth/sign-in").values["form_token"]
    await signed_in(api, browser)
    answer = await browser.post(PATH, {"form_token": before}, sec_fetch_site="same-origin")
    assert answer.status == 403
    assert answer.form(PATH).values["form_token"] != before
    assert (await browser.submit(answer, PATH)).status == 303
