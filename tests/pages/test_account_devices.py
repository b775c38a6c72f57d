"""/auth/account/devices: where a user is signed in, and the sign-out there."""

import pytest

from pages.user_agents import describe_user_agent
from tests.harness.accounts import ACCOUNT, EMAIL, event_kinds, session_ids, signed_in
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.form_browser import FormBrowser
from tests.harness.sql import run_sql

DEVICES = f"{ACCOUNT}/devices"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def with_another(api: Api, browser: FormBrowser, dsn: str) -> tuple[FormBrowser, str]:
    """Sign in by two browsers; return the other one with the id of its session."""
    await signed_in(api, browser)
    [first] = session_ids(dsn)
    other = FormBrowser(api.url)
    other.headers["User-Agent"] = FIREFOX
    await other.sign_in(EMAIL, PASSWORD)
    [session] = {*session_ids(dsn)} - {first}
    return other, session


@pytest.mark.parametrize(
    ("language", "name"), [("en", "Firefox on Windows"), ("de", "Firefox unter Windows")]
)
@pytest.mark.gen_test
async def test_sessions_and_tokens_are_shown_in_words_with_address_and_time(
    api: Api, browser: FormBrowser, dsn: str, language: str, name: str
) -> None:
    other, session = await with_another(api, browser, dsn)
    other.close()
    token = await api.token()
    page = await browser.get(DEVICES, accept_language=language)
    assert name in page.text
    assert "127.0.0.1" in page.text
    assert page.find("time").attributes["datetime"].endswith("Z")
    rows = [each for each in page.elements if each.attributes.get("id", "").startswith("device-")]
    assert len(rows) == 3
    assert page.find("a", href=f"{DEVICES}/{session}").attributes["aria-label"].endswith(name)
    # The browser itself is the first, and has no link: the page has a button to sign out.
    [own] = {*session_ids(dsn)} - {session}
    assert rows[0].attributes["id"] == f"device-{own}"
    assert f"{DEVICES}/{own}" not in page.html
    assert token not in page.html


@pytest.mark.gen_test
async def test_one_device_is_signed_out(api: Api, browser: FormBrowser, dsn: str) -> None:
    other, session = await with_another(api, browser, dsn)
    page = await browser.get(f"{DEVICES}/{session}")
    assert "Firefox on Windows, 127.0.0.1" in page.text
    answer = await browser.submit(page, f"{DEVICES}/{session}", current_password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, f"{DEVICES}?done=device")
    assert "The device is signed out." in (await browser.get(answer.headers["Location"])).text
    assert (await other.get(ACCOUNT)).status == 303
    other.close()
    again = await browser.submit(page, f"{DEVICES}/{session}", current_password=PASSWORD)
    assert again.status == 404


@pytest.mark.gen_test
async def test_a_token_is_signed_out(api: Api, browser: FormBrowser, dsn: str) -> None:
    await signed_in(api, browser)
    token = await api.token()
    [(token_id,)] = run_sql(dsn, "SELECT id FROM tokens WHERE kind = 'token'")
    sent = await browser.send(f"{DEVICES}/{token_id}", current_password=PASSWORD)
    assert sent.status == 303
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401


@pytest.mark.gen_test
async def test_all_other_devices_are_signed_out(api: Api, browser: FormBrowser, dsn: str) -> None:
    other, _ = await with_another(api, browser, dsn)
    token = await api.token()
    answer = await browser.send(f"{DEVICES}/others", current_password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, f"{DEVICES}?done=devices")
    page = await browser.get(answer.headers["Location"])
    assert "All other devices are signed out." in page.text
    assert f"{DEVICES}/others" not in page.html
    assert (await other.get(ACCOUNT)).status == 303
    other.close()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401


@pytest.mark.gen_test
async def test_a_wrong_password_signs_nothing_out(api: Api, browser: FormBrowser, dsn: str) -> None:
    other, session = await with_another(api, browser, dsn)
    for given in ("wrong horse battery", ""):
        answer = await browser.send(f"{DEVICES}/{session}", current_password=given)
        assert answer.status == 422
        assert "Firefox on Windows" in answer.text
    forged = await browser.post(f"{DEVICES}/{session}", {"current_password": PASSWORD})
    assert forged.status == 403
    assert "Firefox on Windows" in forged.text
    assert forged.form(f"{DEVICES}/{session}")
    counted = "SELECT DISTINCT failures FROM throttle WHERE subject NOT LIKE 'registration:%'"
    assert run_sql(dsn, counted) == [(1,)]
    assert (await other.get(ACCOUNT)).status == 200
    other.close()


@pytest.mark.gen_test
async def test_a_device_of_another_user_does_not_exist(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    other, session = await with_another(api, browser, dsn)
    stranger = FormBrowser(api.url)
    await signed_in(api, stranger, "bob@example.com")
    token = (await stranger.get(DEVICES)).form("/auth/sign-out").values
    for device in (session, session.upper(), "unknown", "%00", "%C3%A4"):
        path = f"{DEVICES}/{device}"
        page = await stranger.get(path)
        assert page.status == 404
        assert "Firefox" not in page.text
        answer = await stranger.post(path, token | {"current_password": PASSWORD})
        assert answer.status == 404
        wrong = await stranger.post(path, token | {"current_password": "wrong horse battery"})
        assert wrong.status == 404
        forged = await stranger.post(path, {"current_password": PASSWORD})
        assert (answer.status, forged.status) == (404, 404)
        for each in (page, answer, wrong, forged):
            assert path not in [form.action for form in each.forms]
    stranger.close()
    assert "password-failed" not in event_kinds(dsn)
    assert (await other.get(ACCOUNT)).status == 200
    other.close()


CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (FIREFOX, ("Firefox", "Windows")),
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME}", ("Chrome", "Linux")),
        (f"Mozilla/5.0 (Windows NT 10.0) {CHROME} Edg/140.0.0.0", ("Edge", "Windows")),
        (f"Mozilla/5.0 (Android 14) SamsungBrowser/26 {CHROME}", ("Samsung Internet", "Android")),
        ("Mozilla/5.0 (iPhone; like Mac OS X) Version/18.0 Safari/604.1", ("Safari", "iPhone")),
        ("curl/8.5.0", ("curl", "")),
        ("Mozilla/5.0", ("", "")),
        ("", ("", "")),
        ("<script>", ("", "")),
        (50 * "a", ("", "")),
    ],
)
def test_a_user_agent_is_described(user_agent: str, expected: tuple[str, str]) -> None:
    assert describe_user_agent(user_agent) == expected


@pytest.mark.gen_test
async def test_this_browser_is_signed_out_by_its_button_alone(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    [own] = session_ids(dsn)
    token = (await browser.get(DEVICES)).form("/auth/sign-out").values
    assert (await browser.get(f"{DEVICES}/{own}")).status == 404
    sent = await browser.post(f"{DEVICES}/{own}", token | {"current_password": PASSWORD})
    assert sent.status == 404
    assert session_ids(dsn) == [own]
