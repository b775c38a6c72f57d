"""/auth/sign-in: a session in exchange for a password."""

import re

import pytest

from tests.harness.accounts import event_kinds
from tests.harness.api import PASSWORD, Api
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
PATH = "/auth/sign-in"
HTTPS = {"x_forwarded_proto": "https"}
behind_proxy = override_settings(SERVER__TRUSTED_PROXIES="127.0.0.0/8")


@pytest.mark.gen_test
async def test_a_person_signs_in_and_sees_the_account(api: Api, browser: FormBrowser) -> None:
    await api.register(name="Susan <b>")
    answer = await browser.sign_in(EMAIL, PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, "/auth/account")
    assert not answer.content
    account = await browser.get("/auth/account")
    assert account.status == 200
    assert EMAIL in account.text
    assert "Susan &lt;b&gt;" in account.html


@pytest.mark.gen_test
async def test_a_session_lasts_as_long_as_the_browser_or_is_kept(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    first = browser.set_cookies["userauth"]
    assert re.fullmatch(r"userauth=[\w.-]{1,160}; Path=/; HttpOnly; SameSite=Lax", first)
    await browser.post("/auth/sign-out", {})
    browser.cookies.clear()
    await browser.sign_in(EMAIL, PASSWORD, keep_signed_in="yes")
    assert f"; Max-Age={30 * 24 * 60 * 60};" in browser.set_cookies["userauth"]


@behind_proxy
@pytest.mark.gen_test
async def test_over_https_cookies_are_of_this_host_alone(api: Api, browser: FormBrowser) -> None:
    await api.register()
    browser.headers["X-Forwarded-Proto"] = "https"
    await browser.sign_in(EMAIL, PASSWORD)
    assert {*browser.cookies} == {"__Host-userauth", "__Host-userauth-form"}
    for field in browser.set_cookies.values():
        assert field.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert (await browser.get("/auth/account")).status == 200


@behind_proxy
@pytest.mark.gen_test
async def test_over_https_a_cookie_without_the_prefix_is_ignored(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    browser.headers["X-Forwarded-Proto"] = "https"
    assert (await browser.get("/auth/account")).status == 303


@behind_proxy
@pytest.mark.parametrize("space", ["\xa0", "\x85", "\xc2\xa0"])
@pytest.mark.gen_test
async def test_a_session_that_a_sub_domain_plants_is_not_used(
    api: Api, browser: FormBrowser, space: str
) -> None:
    browser.headers["X-Forwarded-Proto"] = "https"
    own, planted = "__Host-userauth", f"{space}__Host-userauth"
    await api.register("mallory@example.com")
    await browser.sign_in("mallory@example.com", PASSWORD)
    browser.cookies = {planted: browser.cookies[own], f"{planted}-form": "planted"}
    assert (await browser.get("/auth/account")).status == 303
    form = await browser.get(PATH)
    assert browser.cookies[f"{own}-form"]
    await api.register()
    await browser.submit(form, PATH, email=EMAIL, password=PASSWORD)
    for names in ((own, planted), (planted, own)):
        browser.cookies = {name: browser.cookies[name] for name in names}
        assert EMAIL in (await browser.get("/auth/account")).text


@pytest.mark.gen_test
async def test_of_two_cookies_with_one_name_none_is_used(api: Api, browser: FormBrowser) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    value = browser.cookies["userauth"]
    both = f"userauth={value}; userauth=planted"
    assert (await browser.get("/auth/account", cookie=both)).status == 303
    assert (await browser.get("/auth/account", cookie=f"userauth={value}")).status == 200
    # A form of it is not accepted, not even to sign in.
    form = await browser.get(PATH, cookie="a=b")
    values = form.form(PATH).values | {"email": EMAIL, "password": PASSWORD}
    twice = "; ".join([f"userauth-form={browser.cookies['userauth-form']}"] * 2)
    assert (await browser.post(PATH, values, cookie=twice, **browser.sender)).status == 403
    # The browser can get rid of the one that the server has set.
    answer = await browser.post("/auth/sign-out", {}, cookie=both, **browser.sender)
    assert (answer.status, "userauth" in browser.cookies) == (303, False)


@pytest.mark.parametrize(
    ("email", "password"),
    [(EMAIL, "wrong horse battery"), ("unknown@example.com", PASSWORD), (EMAIL, "a\x07b")],
)
@pytest.mark.gen_test
async def test_wrong_credentials_show_the_form_with_the_address_and_never_the_password(
    api: Api, browser: FormBrowser, email: str, password: str
) -> None:
    await api.register()
    answer = await browser.sign_in(email, password, keep_signed_in="yes")
    assert answer.status == 422
    assert answer.title.startswith("Error: ")
    assert "The email address or the password is not correct." in answer.text
    assert answer.find("div", role="alert")
    assert answer.find("input", name="email").attributes["value"] == email
    assert answer.find("input", name="password").attributes["value"] == ""
    assert "checked" in answer.find("input", name="keep_signed_in").attributes
    assert answer.focused == ["password"]
    assert password not in answer.html
    assert "userauth" not in browser.cookies


@pytest.mark.gen_test
async def test_a_disabled_user_learns_it_by_the_correct_password_alone(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    for password, status in ((PASSWORD, 403), ("wrong horse battery", 422)):
        answer = await browser.sign_in(EMAIL, password)
        assert answer.status == status
        assert ("This account is disabled." in answer.text) == (status == 403)
        assert "userauth" not in browser.cookies


@pytest.mark.gen_test
async def test_each_fault_is_linked_to_its_field_and_the_first_has_the_focus(
    browser: FormBrowser,
) -> None:
    answer = await browser.sign_in("", "")
    assert answer.status == 422
    for name in ("email", "password"):
        field = answer.find("input", name=name).attributes
        assert field["aria-invalid"] == "true"
        assert field["aria-describedby"] == f"{name}-error"
        assert answer.find("p", id=f"{name}-error")
        assert answer.find("a", href=f"#{name}")
    assert answer.focused == ["email"]
    again = await browser.sign_in(EMAIL, "")
    assert "aria-invalid" not in again.find("input", name="email").attributes
    assert again.focused == ["password"]


@pytest.mark.gen_test
async def test_fields_are_those_that_password_managers_fill_in(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    assert page.focused == ["email"]
    email = page.find("input", name="email").attributes
    assert (email["type"], email["autocomplete"], email["inputmode"]) == (
        *("email", "username", "email"),
    )
    password = page.find("input", name="password").attributes
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")
    for name in ("email", "password"):
        assert page.find("label", **{"for": name})


@pytest.mark.gen_test
async def test_failures_are_counted_and_recorded_as_those_of_the_api(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, "wrong horse battery")
    counts = (
        "SELECT subject, failures FROM throttle WHERE subject NOT LIKE 'registration:%' ORDER BY 1"
    )
    counted = run_sql(dsn, counts)
    seen = event_kinds(dsn)
    assert seen.count("password-failed") == 1
    await api.log_in(password="wrong horse battery")
    after = run_sql(dsn, counts)
    assert counted
    assert [(name, count + 1) for name, count in counted] == after
    # It is of the same kind and network, and therefore written with the first one.
    assert event_kinds(dsn) == seen


@override_settings(THROTTLE__FIRST_DELAY_SECONDS=120)
@pytest.mark.gen_test
async def test_a_throttled_person_learns_when_to_try_again(api: Api, browser: FormBrowser) -> None:
    await api.register()
    page = await browser.get(PATH)
    for _ in range(30):
        answer = await browser.submit(page, PATH, email=EMAIL, password="wrong horse battery")
        if answer.status != 422:
            break
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 60
    assert re.search(r"Try again in \d+ minutes\.", answer.text)
    assert answer.find("input", name="email").attributes["value"] == EMAIL


@pytest.mark.gen_test
async def test_a_person_who_is_signed_in_is_not_redirected(api: Api, browser: FormBrowser) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    page = await browser.get(f"{PATH}?next=%2Fapp%3Fa%3Db")
    assert page.status == 200
    assert f"You are signed in as {EMAIL}." in page.text
    assert page.find("a", href="/app?a=b")
    assert not [each for each in page.elements if each.attributes.get("type") == "password"]


@pytest.mark.gen_test
async def test_a_sign_in_replaces_the_session_of_the_browser(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await api.register()
    await api.register("other@example.com")
    page = await browser.get(PATH)
    await browser.submit(page, PATH, email=EMAIL, password=PASSWORD)
    first = browser.cookies["userauth"]
    # The form of another tab, from before the sign-in.
    again = await browser.submit(page, PATH, email="other@example.com", password=PASSWORD)
    assert again.status == 303
    assert browser.cookies["userauth"] != first
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(1,)]
    browser.cookies["userauth"] = first
    assert (await browser.get("/auth/account")).status == 303


@pytest.mark.gen_test
async def test_a_planted_session_does_not_survive_the_sign_in(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    await api.register("mallory@example.com")
    await browser.sign_in("mallory@example.com", PASSWORD)
    planted = browser.cookies.pop("userauth")
    page = await browser.get(PATH)
    browser.cookies["userauth"] = planted
    assert (await browser.submit(page, PATH, email=EMAIL, password=PASSWORD)).status == 303
    assert browser.cookies["userauth"] != planted
    assert EMAIL in (await browser.get("/auth/account")).text
    browser.cookies["userauth"] = planted
    assert (await browser.get("/auth/account")).status == 303


@pytest.mark.gen_test
async def test_a_path_that_nginx_appends_does_not_say_what_was_done(browser: FormBrowser) -> None:
    for query, is_done in (
        ("next=/list?x=1&done=reset", False),
        ("next=%2Flist%3Fx=1%26done=reset", False),
        ("done=reset&next=/list?x=1", True),
    ):
        page = await browser.get(f"{PATH}?{query}")
        assert ("The new password is saved" in page.text) == is_done
        assert page.form(PATH).values["next"].startswith("/list")


@pytest.mark.gen_test
async def test_a_session_ends_after_eight_hours_without_a_use(
    api: Api, browser: FormBrowser, clock: Clock
) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    clock.advance(8 * 60 * 60 + 61)
    answer = await browser.get("/auth/account?a=b")
    assert answer.status == 303
    assert answer.headers["Location"] == "/auth/sign-in?next=%2Fauth%2Faccount%3Fa%3Db"


@pytest.mark.gen_test
async def test_a_path_outside_the_pages_follows_by_a_page_that_goes_on_at_once(
    api: Api, browser: FormBrowser
) -> None:
    await api.register()
    page = await browser.get(f"{PATH}?next=/app?a=b&c=%20")
    assert page.form(PATH).values["next"] == "/app?a=b&c=%20"
    wrong = await browser.submit(page, PATH, email=EMAIL, password="wrong horse battery")
    assert wrong.form(PATH).values["next"] == "/app?a=b&c=%20"
    answer = await browser.submit(wrong, PATH, email=EMAIL, password=PASSWORD)
    assert answer.status == 200
    assert answer.headers["Refresh"] == "0; url=/app?a=b&c=%20"
    assert answer.find("a", href="/app?a=b&c=%20")


@pytest.mark.parametrize(
    "hostile", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y"]
)
@pytest.mark.gen_test
async def test_a_person_never_leaves_for_another_host(
    api: Api, browser: FormBrowser, hostile: str
) -> None:
    await api.register()
    page = await browser.get(PATH)
    answer = await browser.submit(page, PATH, email=EMAIL, password=PASSWORD, next=hostile)
    assert (answer.status, answer.headers["Location"]) == (303, "/auth/account")


@pytest.mark.parametrize("query", ["next=%ff", "next=%2F%2Fevil.example", "a=%ff&b", "next"])
@pytest.mark.gen_test
async def test_an_invalid_query_is_ignored(browser: FormBrowser, query: str) -> None:
    page = await browser.get(f"{PATH}?{query}")
    assert page.status == 200
    assert "next" not in page.form(PATH).values


@pytest.mark.gen_test
async def test_get_and_head_change_nothing(api: Api, browser: FormBrowser, dsn: str) -> None:
    await api.register()
    await browser.sign_in(EMAIL, PASSWORD)
    tokens = "SELECT id, user_id, kind, revoked_at, expires_at FROM tokens ORDER BY id"
    before = run_sql(dsn, tokens), event_kinds(dsn)
    for path in (PATH, "/auth/sign-out", "/auth/account", "/", "/auth/nothing"):
        for method in ("GET", "HEAD"):
            answer = await browser.request(method, path)
            assert "userauth" in browser.cookies
            assert method == "GET" or not answer.content
    assert (run_sql(dsn, tokens), event_kinds(dsn)) == before
