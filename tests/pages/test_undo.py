"""/auth/undo: the old email address again."""

import pytest

from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail_calls import EMAIL, SETTINGS, UNDO, Sent, message_ids, ready
from tests.harness.sql import run_sql

PATH = "/auth/undo"
with_mail = override_settings(**SETTINGS)


async def opened(
    api: Api, browser: FormBrowser, dsn: str, following: str = ""
) -> tuple[Page, Sent]:
    sent = (await ready(api, dsn, UNDO)).sent
    return await browser.get(f"{PATH}?request={sent.id}{following}"), sent


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
async def test_the_way_back_is_kept(api: Api, browser: FormBrowser, dsn: str) -> None:
    page, sent = await opened(api, browser, dsn, "&next=%2Fapp")
    answer = await browser.submit(page, PATH, restore="yes", token=sent.secrets.token)
    assert answer.headers["Location"] == "/auth/sign-in?done=undone&next=%2Fapp#main"


@with_mail
@pytest.mark.gen_test
async def test_without_the_tick_nothing_happens(api: Api, browser: FormBrowser, dsn: str) -> None:
    page, sent = await opened(api, browser, dsn)
    answer = await browser.submit(page, PATH, token=sent.secrets.token)
    assert answer.status == 422
    tick = answer.find("input", name="restore").attributes
    assert (tick["aria-invalid"], tick["aria-describedby"]) == ("true", "restore-error")
    assert answer.find("p", id="restore-error")
    assert answer.focused == ["restore"]
    assert sent.secrets.token not in answer.html
    assert emails(dsn) == [f"new.{EMAIL}"]
    again = await browser.submit(answer, PATH, restore="yes", token=sent.secrets.token)
    assert again.status == 303
