"""/auth/verify: the confirmation of an email address."""

import pytest

from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail import MAIL, last_message
from tests.harness.mail_calls import (
    EMAIL,
    NEW_EMAIL,
    SETTINGS,
    Sent,
    message_ids,
    read,
    request_change,
    request_verification,
    sent_by,
)
from tests.harness.sql import run_sql

PATH = "/auth/verify"
with_mail = override_settings(**SETTINGS)
required = override_settings(**MAIL, REGISTRATION__VERIFICATION="required")
SUSAN = {"email": EMAIL, "password": PASSWORD}


async def registered(api: Api, dsn: str) -> Sent:
    """Register a user whose address must be verified, and return the message."""
    assert (await api.register()).status == 202
    return read(dsn, last_message(dsn, MessageKind.VERIFICATION, EMAIL))


async def verification(api: Api, dsn: str) -> Sent:
    """Register a user who may verify the address, and return the message."""
    await api.register()
    return await sent_by(dsn, request_verification(api))


async def change(api: Api, dsn: str) -> Sent:
    """Register a user who changes the address, and return the message."""
    await api.register()
    return await sent_by(dsn, request_change(api))


async def opened(browser: FormBrowser, sent: Sent) -> Page:
    return await browser.get(f"{PATH}?request={sent.id}")


def verified(dsn: str) -> list[tuple[str, bool]]:
    return run_sql(dsn, "SELECT email, email_verified_at IS NOT NULL FROM users")


@pytest.mark.parametrize("kind", ["token", "code"])
@required
@pytest.mark.gen_test
async def test_the_password_of_an_unverified_user_and_the_secret_confirm_the_address(
    api: Api, browser: FormBrowser, dsn: str, kind: str
) -> None:
    sent = await registered(api, dsn)
    page = await browser.get(f"{PATH}?request={sent.id}&next=%2Fapp")
    code = f"{sent.secrets.code[:4]} {sent.secrets.code[4:]}"
    secret = {"token": sent.secrets.token} if kind == "token" else {"code": code}
    answer = await browser.submit(page, PATH, **SUSAN, **secret)
    assert (answer.status, answer.content) == (303, b"")
    assert answer.headers["Location"] == "/auth/sign-in?done=verified&next=%2Fapp#main"
    assert verified(dsn) == [(EMAIL, True)]
    notice = await browser.get("/auth/sign-in?done=verified&next=%2Fapp")
    assert "Your email address is confirmed. Sign in now." in notice.text
    assert (await browser.sign_in(EMAIL, PASSWORD)).status == 303


@with_mail
@pytest.mark.gen_test
async def test_in_a_session_a_button_confirms_the_address(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await verification(api, dsn)
    await browser.sign_in(EMAIL, PASSWORD)
    too_early = await browser.get(f"{PATH}?done=confirmed")
    assert "is confirmed" not in too_early.text
    assert too_early.form(PATH)
    page = await opened(browser, sent)
    assert {"email", "password"}.isdisjoint(page.form(PATH).values)
    assert "data-fragment" in page.find("input", name="token").attributes
    answer = await browser.submit(page, PATH, token=sent.secrets.token)
    assert answer.headers["Location"] == f"{PATH}?done=confirmed#main"
    assert verified(dsn) == [(EMAIL, True)]
    done = await browser.get(f"{PATH}?done=confirmed")
    assert "Your email address is confirmed." in done.text
    assert done.find("a", href="/auth/account")


@pytest.mark.parametrize("kind", ["token", "code"])
@pytest.mark.parametrize("is_signed_in", [True, False])
@with_mail
@pytest.mark.gen_test
async def test_the_page_confirms_a_change_of_the_address_too(
    api: Api, browser: FormBrowser, dsn: str, kind: str, *, is_signed_in: bool
) -> None:
    sent = await change(api, dsn)
    if is_signed_in:
        await browser.sign_in(EMAIL, PASSWORD)
    page = await opened(browser, sent)
    secret = {kind: getattr(sent.secrets, kind)}
    answer = await browser.submit(page, PATH, **({} if is_signed_in else SUSAN), **secret)
    assert answer.status == 303
    assert verified(dsn) == [(NEW_EMAIL, True)]
    account = await browser.get("/auth/account")
    assert (NEW_EMAIL in account.text) == is_signed_in


@with_mail
@pytest.mark.gen_test
async def test_an_address_that_was_taken_meanwhile_is_a_conflict(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await change(api, dsn)
    await api.register(NEW_EMAIL)
    answer = await browser.submit(
        await opened(browser, sent), PATH, **SUSAN, token=sent.secrets.token
    )
    assert answer.status == 409
    assert "Another account has this email address" in answer.text
    assert sent.secrets.token not in answer.html


@with_mail
@pytest.mark.gen_test
async def test_a_disabled_user_confirms_nothing_and_learns_it_by_the_correct_password_alone(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await verification(api, dsn)
    page = await opened(browser, sent)
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    for values, status, text in (
        (SUSAN, 403, "This account is disabled."),
        ({**SUSAN, "password": "wrong horse battery"}, 422, "is not correct"),
    ):
        for secret in ({"token": sent.secrets.token}, {"send": "yes"}):
            answer = await browser.submit(page, PATH, **values, **secret)
            assert answer.status == status
            assert text in answer.text
    assert verified(dsn) == [(EMAIL, False)]
    assert len(message_ids(dsn)) == 1


@with_mail
@pytest.mark.gen_test
async def test_the_session_of_a_disabled_user_confirms_nothing(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await verification(api, dsn)
    await browser.sign_in(EMAIL, PASSWORD)
    page = await opened(browser, sent)
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    answer = await browser.submit(page, PATH, token=sent.secrets.token)
    # The form of a person who is not signed in.
    assert answer.status == 422
    assert answer.find("p", id="password-error")
    assert verified(dsn) == [(EMAIL, False)]


@override_settings(**SETTINGS, MAIL__USER_PER_HOUR=1)
@pytest.mark.gen_test
async def test_too_many_requests_for_a_message_have_to_wait(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await verification(api, dsn)
    answer = await browser.send(PATH, **SUSAN, send="yes")
    assert answer.status == 429
    assert "There were too many requests for messages. Try again in" in answer.text
    assert answer.find("input", name="email").attributes["value"] == EMAIL


@required
@pytest.mark.gen_test
async def test_a_wrong_password_confirms_nothing_and_is_never_shown(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await registered(api, dsn)
    page = await opened(browser, sent)
    values = {"email": EMAIL, "password": "wrong horse battery", "token": sent.secrets.token}
    answer = await browser.submit(page, PATH, **values)
    assert answer.status == 422
    assert "The email address or the password is not correct." in answer.text
    assert answer.find("input", name="email").attributes["value"] == EMAIL
    assert answer.focused == ["password"]
    for secret in ("wrong horse battery", sent.secrets.token, sent.secrets.code):
        assert secret not in answer.html
    assert verified(dsn) == [(EMAIL, False)]
    assert (await browser.submit(answer, PATH, **SUSAN, code=sent.secrets.code)).status == 303


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"code": "12345678"}, ["email", "password"]),
        (SUSAN, ["code"]),
        ({**SUSAN, "code": "12345678"}, ["code"]),
        ({**SUSAN, "token": "x"}, ["code"]),
    ],
)
@required
@pytest.mark.gen_test
async def test_each_fault_is_beside_its_field(
    api: Api, browser: FormBrowser, dsn: str, values: dict[str, str], fields: list[str]
) -> None:
    await registered(api, dsn)
    answer = await browser.submit(await browser.get(PATH), PATH, **values)
    assert answer.status == 422
    for name in fields:
        assert answer.find("p", id=f"{name}-error")
    assert PASSWORD not in answer.html
    assert verified(dsn) == [(EMAIL, False)]


@with_mail
@pytest.mark.gen_test
async def test_a_wrong_code_counts_once_for_both_kinds_of_messages(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await verification(api, dsn)
    await browser.sign_in(EMAIL, PASSWORD)
    page = await opened(browser, sent)
    assert (await browser.submit(page, PATH, code=sent.wrong_code)).status == 422
    assert run_sql(dsn, "SELECT tries, email_tries FROM messages") == [(1, 1)]
    events = run_sql(dsn, "SELECT count(*) FROM events WHERE kind = 'code-failed'")
    assert events == [(1,)]


@with_mail
@pytest.mark.gen_test
async def test_the_message_of_another_user_is_not_valid(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    sent = await verification(api, dsn)
    await api.register("mallory@example.com")
    await browser.sign_in("mallory@example.com", PASSWORD)
    answer = await browser.submit(await opened(browser, sent), PATH, token=sent.secrets.token)
    assert answer.status == 422
    assert {is_verified for _, is_verified in verified(dsn)} == {False}


@required
@pytest.mark.gen_test
async def test_an_unverified_person_who_signs_in_is_led_to_a_new_message(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await registered(api, dsn)
    answer = await browser.sign_in(EMAIL, PASSWORD)
    assert answer.status == 403
    assert answer.find("a", href=PATH)
    before = message_ids(dsn)
    page = await browser.get(PATH)
    assert page.find("button", name="send")
    sent = await browser.submit(page, PATH, **SUSAN, send="yes")
    assert sent.headers["Location"] == f"{PATH}?done=verification-sent#main"
    assert len(message_ids(dsn) - before) == 1
    wrong = await browser.submit(page, PATH, email=EMAIL, password="wrong horse", send="yes")
    assert wrong.status == 422


@pytest.mark.gen_test
async def test_without_mail_no_new_message_is_offered_or_sent(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    page = await browser.get(PATH)
    assert not [each for each in page.elements if each.attributes.get("name") == "send"]
    assert (await browser.submit(page, PATH, **SUSAN, send="yes")).status == 501
