"""/auth/forgot: the request of a message to set a new password."""

import re

import pytest

from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail_calls import EMAIL, SETTINGS, message_ids
from tests.harness.sql import run_sql

PATH = "/auth/forgot"
with_mail = override_settings(**SETTINGS)


async def forget(browser: FormBrowser, email: str, query: str = "") -> Page:
    return await browser.submit(await browser.get(PATH + query), PATH, email=email)


@with_mail
@pytest.mark.gen_test
async def test_every_address_gets_the_same_answer_and_a_known_one_a_message(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    locations, contents = [], []
    for email in (EMAIL, "unknown@example.com"):
        answer = await forget(browser, email, "?next=%2Fapp")
        assert (answer.status, answer.content) == (303, b"")
        location = answer.headers["Location"]
        locations.append(re.sub("[0-9a-f-]{36}", "ID", location))
        page = await browser.get(location)
        contents.append(re.sub("[0-9a-f-]{36}", "ID", page.text))
        assert "If an account has this address, a message was sent to it." in page.text
        assert page.form("/auth/reset").values["request"] in location
        assert page.form("/auth/reset").values["next"] == "/app"
    assert locations == 2 * ["/auth/reset?request=ID&done=reset-sent&next=%2Fapp"]
    assert contents[0] == contents[1]
    assert len(message_ids(dsn)) == 1


@pytest.mark.parametrize(("email", "message"), [("", "is required"), ("susan", "must be an email")])
@with_mail
@pytest.mark.gen_test
async def test_what_is_no_address_is_rejected_beside_the_field(
    browser: FormBrowser, email: str, message: str
) -> None:
    answer = await forget(browser, email)
    assert answer.status == 422
    assert answer.find("p", id="email-error")
    assert message in answer.text
    assert answer.find("input", name="email").attributes["value"] == email


@with_mail
@pytest.mark.gen_test
async def test_too_many_requests_are_rejected_with_the_time_to_wait(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    answers = [await browser.submit(page, PATH, email="a@example.com") for _ in range(21)]
    assert {answer.status for answer in answers[:20]} == {303}
    assert answers[20].status == 429
    assert "There were too many requests for messages." in answers[20].text
    assert answers[20].find("input", name="email").attributes["value"] == "a@example.com"


@with_mail
@pytest.mark.gen_test
async def test_a_disabled_user_gets_no_message_and_the_same_answer(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    answer = await forget(browser, EMAIL)
    assert (answer.status, answer.target.partition("?")[0]) == (303, "/auth/reset")
    assert not message_ids(dsn)


@with_mail
@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_leads_to_two_valid_messages(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    page = await browser.get(PATH)
    answers = [await browser.submit(page, PATH, email=EMAIL) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    assert len({answer.headers["Location"] for answer in answers}) == 2
    assert len(message_ids(dsn)) == 2


@pytest.mark.gen_test
async def test_without_mail_the_page_says_so_and_rejects_the_form(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    token = page.forms[0].values["form_token"]
    for answer in (page, await browser.post(PATH, {"form_token": token, "email": EMAIL})):
        assert answer.status == 501
        assert "This server sends no messages." in answer.text
        assert PATH not in [form.action for form in answer.forms]
    forged = await browser.post(PATH, {"email": EMAIL})
    assert forged.status == 403
    assert PATH not in [form.action for form in forged.forms]


@with_mail
@pytest.mark.gen_test
async def test_get_and_head_send_nothing(api: Api, browser: FormBrowser, dsn: str) -> None:
    await api.register()
    for method in ("GET", "HEAD"):
        assert (await browser.request(method, f"{PATH}?email=susan%40example.com")).status == 200
    assert run_sql(dsn, "SELECT count(*) FROM messages") == [(0,)]
