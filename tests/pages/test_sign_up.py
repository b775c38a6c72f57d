"""/auth/sign-up: a new account."""

import pytest

from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser, Page
from tests.harness.mail import MAIL, last_message
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
PATH = "/auth/sign-up"
required = override_settings(**MAIL, REGISTRATION__VERIFICATION="required")


async def sign_up(browser: FormBrowser, query: str = "", **values: str) -> Page:
    page = await browser.get(PATH + query)
    return await browser.submit(page, PATH, **{"email": EMAIL, "password": PASSWORD, **values})


def count(dsn: str, table: str) -> int:
    [(found,)] = run_sql(dsn, f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this file
    return int(found)


@pytest.mark.parametrize(
    "settings",
    [{**MAIL, "REGISTRATION__VERIFICATION": each} for each in ("off", "optional")],
    indirect=True,
)
@pytest.mark.gen_test
async def test_a_person_is_signed_in_after_the_sign_up(browser: FormBrowser) -> None:
    answer = await sign_up(browser)
    assert answer.status == 303
    account = await browser.get(answer.target)
    assert (account.status, account.title) == (200, "Your account · Account")
    assert EMAIL in account.text


@override_settings(**MAIL, REGISTRATION__VERIFICATION="optional")
@pytest.mark.gen_test
async def test_an_optional_verification_sends_a_message_in_the_language_of_the_page(
    browser: FormBrowser, dsn: str
) -> None:
    browser.headers["Accept-Language"] = "de"
    answer = await sign_up(browser)
    assert last_message(dsn, MessageKind.VERIFICATION, EMAIL)
    assert run_sql(dsn, "SELECT language FROM users") == [("de",)]
    account = await browser.get(answer.target)
    assert "wurde eine Nachricht gesendet." in account.text


@pytest.mark.parametrize(
    "settings",
    [{**MAIL, "REGISTRATION__VERIFICATION": "off"}, {"REGISTRATION__VERIFICATION": "optional"}],
    indirect=True,
)
@pytest.mark.gen_test
async def test_no_message_is_announced_if_none_is_sent(browser: FormBrowser, dsn: str) -> None:
    answer = await sign_up(browser)
    assert count(dsn, "messages") == 0
    assert "A message was sent" not in (await browser.get(answer.target)).text


@required
@pytest.mark.gen_test
async def test_a_required_verification_leads_to_the_message_for_a_free_and_a_taken_address(
    browser: FormBrowser, dsn: str
) -> None:
    for _ in range(2):
        answer = await sign_up(browser, "?next=%2Fapp")
        assert answer.status == 303
        assert answer.headers["Location"] == "/auth/verify?done=verification-sent&next=%2Fapp"
        assert "userauth" not in browser.cookies
    page = await browser.get(answer.target)
    assert "A message was sent to your email address" in page.text
    assert page.form("/auth/verify").values["next"] == "/app"
    assert count(dsn, "users") == 1


@override_settings(REGISTRATION__VERIFICATION="off")
@pytest.mark.gen_test
async def test_a_taken_address_is_reported_beside_its_field(api: Api, browser: FormBrowser) -> None:
    await api.register()
    answer = await sign_up(browser, "?next=%2Fapp")
    assert answer.status == 409
    assert answer.find("input", name="email").attributes["aria-describedby"] == "email-error"
    assert "Another account has this email address" in answer.text
    assert answer.find("input", name="email").attributes["value"] == EMAIL
    assert answer.form(PATH).values["next"] == "/app"
    assert answer.find("a", href="/auth/sign-in?next=%2Fapp")
    assert PASSWORD not in answer.html


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("email", "susan", "must be an email address, such as susan@example.com"),
        ("email", "", "is required"),
        ("password", "short", "must have"),
        ("password", "", "is required"),
        ("password", EMAIL, "is made of your own email address or name"),
    ],
)
@override_settings(PASSWORDS__REFUSE_COMMON=True)
@pytest.mark.gen_test
async def test_the_messages_of_the_rules_are_beside_their_fields_without_the_password(
    browser: FormBrowser, dsn: str, field: str, value: str, message: str
) -> None:
    answer = await sign_up(browser, **{field: value})
    assert answer.status == 422
    assert answer.find("p", id=f"{field}-error")
    assert message in answer.text
    assert answer.find("input", name="password").attributes["value"] == ""
    assert PASSWORD not in answer.html
    assert count(dsn, "users") == 0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"THROTTLE__REGISTRATIONS": 2}, "There were too many attempts. Try again in"),
        (
            {**MAIL, "REGISTRATION__VERIFICATION": "required", "MAIL__NETWORK_PER_HOUR": 2},
            "There were too many requests for messages. Try again in",
        ),
    ],
    indirect=["settings"],
)
@pytest.mark.gen_test
async def test_too_many_sign_ups_have_to_wait_with_the_form_filled_in(
    browser: FormBrowser, dsn: str, text: str
) -> None:
    answers = []
    for each in "abc":
        answers.append(await sign_up(browser, email=f"{each}@example.com"))
        browser.cookies.clear()
    assert [answer.status for answer in answers] == [303, 303, 429]
    assert text in answers[2].text
    assert answers[2].find("input", name="email").attributes["value"] == "c@example.com"
    assert answers[2].focused == ["password"]
    assert count(dsn, "users") == 2


@override_settings(REGISTRATION__VERIFICATION="off")
@pytest.mark.gen_test
async def test_the_address_of_a_disabled_user_is_taken(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    answer = await sign_up(browser)
    assert answer.status == 409
    assert "disabled" not in answer.text
    assert "userauth" not in browser.cookies


@pytest.mark.gen_test
async def test_next_is_kept_over_the_sign_up(browser: FormBrowser) -> None:
    answer = await sign_up(browser, "?next=%2Fapp%3Fa%3Db")
    assert (answer.status, answer.headers["Refresh"]) == (200, "0; url=/app?a=b")


@override_settings(REGISTRATION__OPEN=False)
@pytest.mark.gen_test
async def test_a_closed_registration_is_stated_and_rejects_the_form(
    browser: FormBrowser, dsn: str
) -> None:
    page = await browser.get(PATH)
    token = page.forms[0].values["form_token"]
    values = {"form_token": token, "email": EMAIL, "password": PASSWORD}
    for answer in (page, await browser.post(PATH, values)):
        assert answer.status == 403
        assert "An administrator creates accounts here." in answer.text
        assert PATH not in [form.action for form in answer.forms]
    assert page.find("a", href="/auth/sign-in")
    assert count(dsn, "users") == 0


@override_settings(REGISTRATION__VERIFICATION="off")
@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_creates_one_account(
    browser: FormBrowser, dsn: str
) -> None:
    page = await browser.get(PATH)
    answers = [await browser.submit(page, PATH, email=EMAIL, password=PASSWORD) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 409]
    assert count(dsn, "users") == 1
    assert (await browser.get("/auth/account")).status == 200


@pytest.mark.gen_test
async def test_a_person_who_is_signed_in_sees_the_account_instead_of_the_form(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    page = await browser.get(PATH)
    assert f"You are signed in as {EMAIL}." in page.text
    assert PATH not in [form.action for form in page.forms]


@pytest.mark.gen_test
async def test_get_and_head_create_nothing(browser: FormBrowser, dsn: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await browser.request(method, f"{PATH}?email=a%40example.com&password=x")
        assert answer.status == 200
    assert count(dsn, "users") == 0
    assert count(dsn, "throttle") == 0
