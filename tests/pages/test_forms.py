"""What a form must be to be accepted, and in which order it is checked."""

import pytest

from rules.form_tokens import issue_form_token
from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import KEY, override_settings
from tests.harness.form_browser import FORM, FormBrowser

EMAIL = "susan@example.com"
PATH = "/auth/sign-in"
OLD_KEY = "Yk4tW9hXq2LrB7vNcY0mSgD5pJf8EuTb"


async def filled(browser: FormBrowser) -> dict[str, str]:
    page = await browser.get(PATH)
    return page.form(PATH).values | {"email": EMAIL, "password": PASSWORD}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "https://elsewhere.example"},
        {"origin": "null"},
        {},
    ],
)
@pytest.mark.gen_test
async def test_a_form_of_this_site_is_accepted(
    api: Api, browser: FormBrowser, headers: dict[str, str]
) -> None:
    await api.register()
    assert (await browser.post(PATH, await filled(browser), **headers)).status == 303


@pytest.mark.gen_test
async def test_a_form_with_the_origin_of_this_host_is_accepted(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    assert (await browser.post(PATH, await filled(browser), origin=api.url)).status == 303


@override_settings(SERVER__PUBLIC_URL="https://auth.example.com")
@pytest.mark.gen_test
async def test_a_form_with_the_public_origin_is_accepted_behind_a_proxy_that_changes_the_host(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    values = await filled(browser)
    sent = await browser.post(PATH, values, origin="https://auth.example.com", host="userauth")
    assert sent.status == 303


@override_settings(SERVER__PUBLIC_URL="https://auth.example.com")
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": "https://auth.example.com"},
        {"origin": "https://auth.example.com.evil.example"},
        {"origin": "https://evil.example"},
    ],
)
@pytest.mark.gen_test
async def test_a_form_of_another_site_is_rejected_with_a_new_form(
    api: Api, browser: FormBrowser, headers: dict[str, str]
) -> None:
    await api.register()
    answer = await browser.post(PATH, await filled(browser) | {"next": "/app"}, **headers)
    assert answer.status == 403
    assert "https://auth.example.com" in answer.text
    assert EMAIL not in answer.html
    assert answer.form(PATH).values["next"] == "/app"
    sent = await browser.submit(answer, PATH, email=EMAIL, password=PASSWORD, next="")
    assert sent.status == 303


@pytest.mark.parametrize("token", ["", "x", "ä", None])
@pytest.mark.gen_test
async def test_a_form_without_its_token_or_its_cookie_is_rejected(
    api: Api, browser: FormBrowser, token: str | None
) -> None:
    await api.register()
    values = await filled(browser)
    if token is None:
        browser.cookies.clear()
    else:
        values["form_token"] = token
    answer = await browser.post(PATH, values, sec_fetch_site="same-origin")
    assert answer.status == 403
    sent = await browser.submit(answer, PATH, email=EMAIL, password=PASSWORD)
    assert sent.status == 303


@pytest.mark.gen_test
async def test_the_token_of_another_browser_is_rejected(api: Api, browser: FormBrowser) -> None:
    await api.register()
    other = FormBrowser(api.url)
    token = (await filled(other))["form_token"]
    other.close()
    values = await filled(browser) | {"form_token": token}
    assert (await browser.post(PATH, values, sec_fetch_site="same-origin")).status == 403


@pytest.mark.parametrize("keys", [[KEY, OLD_KEY]])
@pytest.mark.gen_test
async def test_a_form_from_before_a_new_key_is_accepted(api: Api, browser: FormBrowser) -> None:
    await api.register()
    values = await filled(browser)
    values["form_token"] = issue_form_token(OLD_KEY, browser.cookies["userauth-form"])
    assert (await browser.post(PATH, values)).status == 303


@pytest.mark.gen_test
async def test_a_form_that_is_sent_twice_signs_in_twice(api: Api, browser: FormBrowser) -> None:
    await api.register()
    values = await filled(browser)
    for _ in range(2):
        assert (await browser.post(PATH, values)).status == 303


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data; boundary=x"])
@pytest.mark.gen_test
async def test_another_media_type_is_rejected(browser: FormBrowser, kind: str) -> None:
    answer = await browser.request("POST", PATH, body=b"a=b", headers={"Content-Type": kind})
    assert answer.status == 415
    assert answer.title.startswith("Error: ")


@pytest.mark.gen_test
async def test_the_order_is_size_then_form_then_token(browser: FormBrowser) -> None:
    fields = {"Content-Type": FORM + "; charset=utf-8", "Sec-Fetch-Site": "cross-site"}
    for body, status in [
        (b"a=" + 70_000 * b"b", 413),
        (b"email=a&email=b", 400),
        (b"unknown=a&unknown=b", 400),
        (b"email=%ff", 400),
        (100 * b"a=b&", 400),
        (b"email=a&unknown=b", 403),
        (b"", 403),
    ]:
        answer = await browser.request("POST", PATH, body=body, headers=fields)
        assert answer.status == status, body[:20]


@pytest.mark.gen_test
async def test_unknown_fields_are_ignored_and_long_ones_rejected(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    values = await filled(browser)
    long = await browser.post(PATH, values | {"email": 5_000 * "a"})
    assert long.status == 422
    assert "aria-invalid" in long.find("input", name="email").attributes
    assert (await browser.post(PATH, values | {"unknown": "a"})).status == 303


@pytest.mark.gen_test
async def test_another_method_is_rejected_and_options_lists_those_that_exist(
    browser: FormBrowser,
) -> None:
    for path, allowed in {
        PATH: "GET, HEAD, POST, OPTIONS",
        "/auth/account": "GET, HEAD, OPTIONS",
        "/auth/language": "POST, OPTIONS",
    }.items():
        answer = await browser.request("PUT", path, body=b"")
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        options = await browser.request("OPTIONS", path)
        assert (options.status, options.headers["Allow"]) == (204, allowed)
