"""What holds for each page that takes the secret of a message."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail_calls import (
    CHANGE,
    EMAIL,
    NEW_PASSWORD,
    RESET,
    SETTINGS,
    UNDO,
    VERIFICATION,
    Sent,
    ready,
)
from tests.harness.sql import run_sql

WEEK = 7 * 24 * 60 * 60
SUSAN = {"email": EMAIL, "password": PASSWORD}
# The page of each message, and what a person enters beside the secret.
PAGES = {
    RESET: ("/auth/reset", {"password": NEW_PASSWORD}),
    VERIFICATION: ("/auth/verify", SUSAN),
    CHANGE: ("/auth/verify", SUSAN),
    UNDO: ("/auth/undo", {"restore": "yes"}),
}
with_mail = override_settings(**SETTINGS)
each_message = pytest.mark.parametrize("message", PAGES)


@dataclass(frozen=True)
class Opened:
    """A page that the link of a message opened."""

    browser: FormBrowser
    page: Page
    path: str
    values: dict[str, str]
    sent: Sent

    async def send(self, page: Page | None = None, /, **secret: str) -> Page:
        return await self.browser.submit(page or self.page, self.path, **self.values, **secret)


async def opened(
    api: Api, browser: FormBrowser, dsn: str, message: str, following: str = ""
) -> Opened:
    sent = (await ready(api, dsn, message)).sent
    path, values = PAGES[message]
    query = f"request={sent.id}" + (f"&next={quote(following, safe='')}" if following else "")
    return Opened(browser, await browser.get(f"{path}?{query}"), path, values, sent)


def state_of(dsn: str) -> list[object]:
    """Return what a proof changes."""
    return [
        run_sql(dsn, "SELECT id, email, email_verified_at, password_version FROM users"),
        run_sql(dsn, "SELECT id, used_at, voided_at FROM messages ORDER BY id"),
    ]


@each_message
@with_mail
@pytest.mark.gen_test
async def test_each_field_that_is_empty_has_an_error_beside_it(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    before = state_of(dsn)
    answer = await browser.submit(found.page, found.path)
    assert answer.status == 422
    faulty = {each.attributes.get("id") for each in answer.elements if each.tag == "p"}
    assert {"code-error", *(f"{name}-error" for name in found.values)} <= faulty
    with_token = await browser.submit(found.page, found.path, token=found.sent.secrets.token)
    assert with_token.status == 422
    assert 'id="code-error"' not in with_token.html
    assert state_of(dsn) == before


@each_message
@with_mail
@pytest.mark.gen_test
async def test_a_secret_that_is_not_valid_is_reported_beside_the_code_and_changes_nothing(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    before = state_of(dsn)
    for secret in (
        {"token": f"{found.sent.secrets.token[:-1]}!"},
        {"code": found.sent.wrong_code},
        {"code": "x"},
        {},
    ):
        answer = await found.send(**secret)
        assert answer.status == 422
        assert answer.find("p", id="code-error")
        assert answer.focused == ["code"]
        # The script would put the same secret into the form again.
        assert "data-fragment" not in answer.find("input", name="token").attributes
        assert NEW_PASSWORD not in answer.html
        fields = [each.attributes for each in answer.elements if each.tag == "input"]
        assert {field["value"] for field in fields if field["type"] == "password"} <= {""}
    assert state_of(dsn) == before
    assert (await found.send(answer, token=found.sent.secrets.token)).status == 303


@pytest.mark.parametrize(
    ("message", "statuses"),
    [(RESET, [303, 422]), (VERIFICATION, [303, 303]), (UNDO, [303, 422])],
)
@with_mail
@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_succeeds_once_or_changes_nothing_more(
    api: Api, browser: FormBrowser, dsn: str, message: str, statuses: list[int]
) -> None:
    found = await opened(api, browser, dsn, message)
    answers = [await found.send(token=found.sent.secrets.token) for _ in range(2)]
    assert [answer.status for answer in answers] == statuses
    assert statuses[1] == 303 or "It may have been used" in answers[1].text


@each_message
@with_mail
@pytest.mark.gen_test
async def test_get_and_head_use_nothing(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    before = state_of(dsn)
    token = found.sent.secrets.token
    for query in (
        f"request={found.sent.id}&token={token}&restore=yes&send=yes&done=confirmed",
        f"token={token}&code={found.sent.secrets.code}&password=x",
        "a=%ff",
    ):
        for method in ("GET", "HEAD"):
            answer = await browser.request(method, f"{found.path}?{query}")
            assert answer.status == 200
            assert f'value="{token}"' not in answer.html
    assert state_of(dsn) == before


@each_message
@with_mail
@pytest.mark.gen_test
async def test_an_expired_message_is_rejected(
    api: Api, browser: FormBrowser, dsn: str, clock: Clock, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    clock.advance(WEEK + 1)
    assert (await found.send(token=found.sent.secrets.token)).status == 422


@each_message
@override_settings(**SETTINGS, THROTTLE__ADDRESS_FAILURES=3, THROTTLE__FIRST_DELAY_SECONDS=600)
@pytest.mark.gen_test
async def test_after_wrong_codes_the_form_says_when_to_try_again(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    answers = [await found.send(code=found.sent.wrong_code) for _ in range(4)]
    assert [answer.status for answer in answers] == [422, 422, 422, 429]
    assert re.search(r"Try again in \d+ minutes\.", answers[-1].text)
    assert answers[-1].form(found.path)
    # Wrong codes do not limit links.
    assert (await found.send(answers[-1], token=found.sent.secrets.token)).status == 303


@pytest.mark.parametrize("message", [RESET, UNDO])
@with_mail
@pytest.mark.gen_test
async def test_the_secret_of_a_disabled_user_is_rejected_like_a_wrong_one(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message)
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    before = state_of(dsn)
    secrets = found.sent.secrets
    answers = [await found.send(token=secrets.token), await found.send(code=secrets.code)]
    answers.append(await found.send(code=found.sent.wrong_code))
    assert {answer.status for answer in answers} == {422}
    assert len({answer.text for answer in answers}) == 1
    assert state_of(dsn) == before


@pytest.mark.parametrize("message", [RESET, UNDO])
@with_mail
@pytest.mark.gen_test
async def test_a_hidden_field_that_is_malformed_is_rejected(
    browser: FormBrowser, message: str
) -> None:
    path, values = PAGES[message]
    page = await browser.get(path)
    for name in ("token", "request"):
        for value in (5_000 * "a", "a\0b"):
            answer = await browser.submit(page, path, **{**values, "code": "12345678", name: value})
            assert answer.status == 422
            assert answer.find("div", role="alert")


@each_message
@with_mail
@pytest.mark.gen_test
async def test_the_switch_of_the_language_keeps_the_message_and_the_way_back(
    api: Api, browser: FormBrowser, dsn: str, message: str
) -> None:
    found = await opened(api, browser, dsn, message, "/app?a=b&c=%20")
    wrong = await found.send(code=found.sent.wrong_code)
    forged = await browser.post(found.path, wrong.form(found.path).values | {"form_token": "x"})
    assert [wrong.status, forged.status] == [422, 403]
    for page in (found.page, wrong, forged):
        chosen = await browser.submit(page, "/auth/language", language="de")
        again = await browser.get(chosen.target)
        assert again.find("html").attributes["lang"] == "de"
        kept = again.form(found.path).values
        assert kept["next"] == "/app?a=b&c=%20"
        # The form of the verification does without: the user is known otherwise.
        assert kept.get("request", found.sent.id) == found.sent.id
        assert ("request" in kept) == (message in {RESET, UNDO})
        browser.cookies.pop("userauth-language")
    assert (await found.send(again, code=found.sent.secrets.code)).status == 303
