"""/auth/reset: a new password by a message."""

import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail_calls import (
    EMAIL,
    NEW_PASSWORD,
    SETTINGS,
    Sent,
    read,
    request_reset,
    sent_by,
)
from tests.harness.sql import run_sql

PATH = "/auth/reset"
with_mail = override_settings(**SETTINGS)


async def requested(api: Api, dsn: str) -> Sent:
    await api.register()
    return await sent_by(dsn, request_reset(api))


async def opened(browser: FormBrowser, sent: Sent) -> Page:
    return await browser.get(f"{PATH}?request={sent.id}")


def grouped(code: str) -> str:
    return f" {code[:4]} {code[4:6]}-{code[6:]} "


@pytest.mark.parametrize("is_link", [True, False])
@with_mail
@pytest.mark.gen_test
async def test_a_link_or_a_typed_code_sets_the_password_and_leads_to_the_sign_in(
    api: Api, browser: FormBrowser, dsn: str, *, is_link: bool
) -> None:
    sent = await requested(api, dsn)
    page = await opened(browser, sent)
    secret = {"token": sent.secrets.token} if is_link else {"code": grouped(sent.secrets.code)}
    answer = await browser.submit(page, PATH, password=NEW_PASSWORD, **secret)
    assert (answer.status, answer.content) == (303, b"")
    # Its own fragment, so that the browser does not keep that of the link.
    assert answer.headers["Location"] == "/auth/sign-in?done=reset#main"
    notice = await browser.get("/auth/sign-in?done=reset")
    assert notice.find("p", role="status")
    assert "The new password is saved." in notice.text
    assert (await browser.sign_in(EMAIL, NEW_PASSWORD)).status == 303
    assert (await api.log_in(password=PASSWORD)).status == 401


@with_mail
@pytest.mark.gen_test
async def test_a_reset_ends_the_session_of_the_browser(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await requested(api, dsn)
    await browser.sign_in(EMAIL, PASSWORD)
    page = await opened(browser, sent)
    await browser.submit(page, PATH, password=NEW_PASSWORD, token=sent.secrets.token)
    assert (await browser.get("/auth/account")).status == 303


@with_mail
@pytest.mark.gen_test
async def test_the_form_keeps_next_and_has_a_place_for_the_fragment_of_the_link(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await requested(api, dsn)
    page = await browser.get(f"{PATH}?request={sent.id}&next=%2Fapp")
    token = page.find("input", name="token").attributes
    assert (token["type"], token["value"]) == ("hidden", "")
    assert "data-fragment" in token
    assert page.find("div", **{"data-without-link": ""})
    code = page.find("input", name="code").attributes
    assert (code["autocomplete"], code["inputmode"]) == ("one-time-code", "numeric")
    assert page.find("input", name="password").attributes["autocomplete"] == "new-password"
    answer = await browser.submit(page, PATH, password=NEW_PASSWORD, token=sent.secrets.token)
    assert answer.headers["Location"] == "/auth/sign-in?done=reset&next=%2Fapp#main"


@pytest.mark.parametrize(
    ("password", "message"),
    [("short", "must have"), ("", "is required"), (EMAIL, "is made of your own email address")],
)
@override_settings(**SETTINGS, PASSWORDS__REFUSE_COMMON=True)
@pytest.mark.gen_test
async def test_a_rejected_password_is_reported_beside_its_field_and_uses_nothing(
    api: Api, browser: FormBrowser, dsn: str, password: str, message: str
) -> None:
    sent = await requested(api, dsn)
    page = await opened(browser, sent)
    secrets = {"token": sent.secrets.token, "code": sent.secrets.code}
    answer = await browser.submit(page, PATH, password=password, **secrets)
    assert answer.status == 422
    assert answer.find("p", id="password-error")
    assert message in answer.text
    assert answer.form(PATH).values["request"] == sent.id
    assert "data-fragment" in answer.find("input", name="token").attributes
    for secret in (sent.secrets.token, sent.secrets.code):
        assert secret not in answer.html
    again = await browser.submit(answer, PATH, password=NEW_PASSWORD, code=sent.secrets.code)
    assert again.status == 303


@pytest.mark.parametrize("kind", ["token", "code", "malformed", "without request"])
@with_mail
@pytest.mark.gen_test
async def test_a_secret_that_is_not_valid_is_reported_beside_the_code(
    api: Api, browser: FormBrowser, dsn: str, kind: str
) -> None:
    sent = await requested(api, dsn)
    page = await opened(browser, sent)
    values = {
        "token": {"token": f"{sent.secrets.token[:-1]}!"},
        "code": {"code": sent.wrong_code},
        "malformed": {"code": "x"},
        "without request": {"code": sent.secrets.code, "request": ""},
    }[kind]
    answer = await browser.submit(page, PATH, password=NEW_PASSWORD, **values)
    assert answer.status == 422
    assert answer.find("p", id="code-error")
    assert "The link or the code is not valid." in answer.text
    # The script would put the same secret into the form again.
    assert "data-fragment" not in answer.find("input", name="token").attributes
    assert NEW_PASSWORD not in answer.html
    assert (await api.log_in()).status == 200


@pytest.mark.parametrize("name", ["token", "request"])
@pytest.mark.parametrize("value", [5_000 * "a", "a\0b"])
@with_mail
@pytest.mark.gen_test
async def test_a_hidden_field_that_is_malformed_is_rejected(
    browser: FormBrowser, name: str, value: str
) -> None:
    page = await browser.get(PATH)
    values = {"password": NEW_PASSWORD, "code": "12345678", name: value}
    answer = await browser.submit(page, PATH, **values)
    assert answer.status == 422
    assert answer.find("div", role="alert")


@with_mail
@pytest.mark.gen_test
async def test_an_invited_person_sets_the_first_password_in_the_same_way(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await requested(api, dsn)
    run_sql(dsn, "UPDATE messages SET kind = 'invitation'")
    invitation = read(dsn, sent.id)
    page = await opened(browser, invitation)
    token = invitation.secrets.token
    assert token != sent.secrets.token
    answer = await browser.submit(page, PATH, password=NEW_PASSWORD, token=token)
    assert answer.status == 303


@with_mail
@pytest.mark.gen_test
async def test_a_form_without_a_secret_is_rejected(browser: FormBrowser) -> None:
    answer = await browser.submit(await browser.get(PATH), PATH, password=NEW_PASSWORD)
    assert answer.status == 422
    assert answer.find("p", id="code-error")


@with_mail
@pytest.mark.gen_test
async def test_an_expired_message_is_rejected(
    api: Api, browser: FormBrowser, dsn: str, clock: Clock
) -> None:
    sent = await requested(api, dsn)
    page = await opened(browser, sent)
    clock.advance(3601)
    answer = await browser.submit(page, PATH, password=NEW_PASSWORD, token=sent.secrets.token)
    assert answer.status == 422


@with_mail
@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_succeeds_once(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await requested(api, dsn)
    page = await opened(browser, sent)
    values = {"password": NEW_PASSWORD, "token": sent.secrets.token}
    answers = [await browser.submit(page, PATH, **values) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 422]
    assert "It may have been used" in answers[1].text
    assert (await api.log_in(password=NEW_PASSWORD)).status == 200


@with_mail
@pytest.mark.gen_test
async def test_get_and_head_use_nothing(api: Api, browser: FormBrowser, dsn: str) -> None:
    sent = await requested(api, dsn)
    rows = "SELECT id, used_at, voided_at, tries FROM messages"
    before = run_sql(dsn, rows)
    for query in (f"request={sent.id}", f"request={sent.id}&token={sent.secrets.token}", "a=%ff"):
        for method in ("GET", "HEAD"):
            answer = await browser.request(method, f"{PATH}?{query}")
            assert answer.status == 200
            assert f'value="{sent.secrets.token}"' not in answer.html
    assert run_sql(dsn, rows) == before
