"""/auth/reset: a new password by a message."""

import pytest

from tests.harness.api import PASSWORD, Api
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


async def opened(
    api: Api, browser: FormBrowser, dsn: str, following: str = ""
) -> tuple[Page, Sent]:
    """Register a user, request a message, and open its link."""
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    return await browser.get(f"{PATH}?request={sent.id}{following}"), sent


async def save(browser: FormBrowser, page: Page, **values: str) -> Page:
    return await browser.submit(page, PATH, **{"password": NEW_PASSWORD, **values})


@pytest.mark.parametrize("is_link", [True, False])
@with_mail
@pytest.mark.gen_test
async def test_a_link_or_a_typed_code_sets_the_password_and_leads_to_the_sign_in(
    api: Api, browser: FormBrowser, dsn: str, *, is_link: bool
) -> None:
    page, sent = await opened(api, browser, dsn)
    code = sent.secrets.code
    grouped = f" {code[:4]} {code[4:6]}-{code[6:]} "
    secret = {"token": sent.secrets.token} if is_link else {"code": grouped}
    answer = await save(browser, page, **secret)
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
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    page, sent = await opened(api, browser, dsn)
    await save(browser, page, token=sent.secrets.token)
    assert (await browser.get("/auth/account")).status == 303


@with_mail
@pytest.mark.gen_test
async def test_the_form_keeps_next_and_has_a_place_for_the_fragment_of_the_link(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    page, sent = await opened(api, browser, dsn, "&next=%2Fapp")
    token = page.find("input", name="token").attributes
    assert (token["type"], token["value"]) == ("hidden", "")
    assert "data-fragment" in token
    assert page.find("div", **{"data-without-link": ""})
    code = page.find("input", name="code").attributes
    assert (code["autocomplete"], code["inputmode"]) == ("one-time-code", "numeric")
    assert page.find("input", name="password").attributes["autocomplete"] == "new-password"
    answer = await save(browser, page, token=sent.secrets.token)
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
    page, sent = await opened(api, browser, dsn)
    secrets = {"token": sent.secrets.token, "code": sent.secrets.code}
    answer = await save(browser, page, password=password, **secrets)
    assert answer.status == 422
    assert answer.find("p", id="password-error")
    assert answer.focused == ["password"]
    assert message in answer.text
    assert answer.form(PATH).values["request"] == sent.id
    assert "data-fragment" in answer.find("input", name="token").attributes
    for secret in secrets.values():
        assert secret not in answer.html
    assert (await save(browser, answer, code=sent.secrets.code)).status == 303


@with_mail
@pytest.mark.gen_test
async def test_a_code_without_the_id_of_its_message_is_not_valid(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    page, sent = await opened(api, browser, dsn)
    answer = await save(browser, page, code=sent.secrets.code, request="")
    assert answer.status == 422
    assert answer.find("p", id="code-error")
    assert (await api.log_in()).status == 200


@with_mail
@pytest.mark.gen_test
async def test_an_invited_person_sets_the_first_password_in_the_same_way(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    page, sent = await opened(api, browser, dsn)
    run_sql(dsn, "UPDATE messages SET kind = 'invitation'")
    token = read(dsn, sent.id).secrets.token
    assert token != sent.secrets.token
    assert (await save(browser, page, token=token)).status == 303
