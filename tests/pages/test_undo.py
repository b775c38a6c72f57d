"""/auth/undo: the old email address again."""

import pytest

from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail_calls import EMAIL, SETTINGS, UNDO, Sent, message_ids, ready
from tests.harness.sql import run_sql

PATH = "/auth/undo"
with_mail = override_settings(**SETTINGS)


async def opened(api: Api, browser: FormBrowser, dsn: str) -> tuple[Page, Sent]:
    sent = (await ready(api, dsn, UNDO)).sent
    return await browser.get(f"{PATH}?request={sent.id}"), sent


def emails(dsn: str) -> list[str]:
    return [email for (email,) in run_sql(dsn, "SELECT email FROM users")]


@pytest.mark.parametrize("is_link", [True, False])
@with_mail
@pytest.mark.gen_test
async def test_a_tick_and_the_secret_restore_the_address_without_a_session(
    api: Api, browser: FormBrowser, dsn: str, *, is_link: bool
) -> None:
    page, sent = await opened(api, browser, dsn)
    secret = {"token": sent.secrets.token} if is_link else {"code": sent.secrets.code}
    before = message_ids(dsn)
    answer = await browser.submit(page, PATH, restore="yes", **secret)
    assert (answer.status, answer.content) == (303, b"")
    assert answer.headers["Location"] == "/auth/sign-in?done=undone#main"
    assert emails(dsn) == [EMAIL]
    assert len(message_ids(dsn) - before) == 1
    notice = await browser.get("/auth/sign-in?done=undone")
    assert "Your previous email address is restored." in notice.text


@with_mail
@pytest.mark.gen_test
async def test_without_the_tick_nothing_happens(api: Api, browser: FormBrowser, dsn: str) -> None:
    page, sent = await opened(api, browser, dsn)
    answer = await browser.submit(page, PATH, token=sent.secrets.token)
    assert answer.status == 422
    tick = answer.find("input", name="restore").attributes
    assert (tick["aria-invalid"], tick["aria-describedby"]) == ("true", "restore-error")
    assert answer.find("p", id="restore-error")
    assert sent.secrets.token not in answer.html
    assert emails(dsn) == [f"new.{EMAIL}"]
    again = await browser.submit(answer, PATH, restore="yes", token=sent.secrets.token)
    assert again.status == 303


@pytest.mark.parametrize("kind", ["token", "code", "none"])
@with_mail
@pytest.mark.gen_test
async def test_a_secret_that_is_not_valid_is_reported_beside_the_code(
    api: Api, browser: FormBrowser, dsn: str, kind: str
) -> None:
    page, sent = await opened(api, browser, dsn)
    values = {"token": {"token": "x"}, "code": {"code": sent.wrong_code}, "none": {}}[kind]
    answer = await browser.submit(page, PATH, restore="yes", **values)
    assert answer.status == 422
    assert answer.find("p", id="code-error")
    assert emails(dsn) == [f"new.{EMAIL}"]


@with_mail
@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_succeeds_once(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    page, sent = await opened(api, browser, dsn)
    values = {"restore": "yes", "token": sent.secrets.token}
    answers = [await browser.submit(page, PATH, **values) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 422]


@with_mail
@pytest.mark.gen_test
async def test_get_and_head_restore_nothing(api: Api, browser: FormBrowser, dsn: str) -> None:
    _, sent = await opened(api, browser, dsn)
    for method in ("GET", "HEAD"):
        query = f"request={sent.id}&token={sent.secrets.token}&restore=yes"
        assert (await browser.request(method, f"{PATH}?{query}")).status == 200
    assert emails(dsn) == [f"new.{EMAIL}"]
