"""Errors outside the API as pages."""

import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import override_settings
from tests.harness.form_browser import FormBrowser

PATH = "/auth/sign-in"
HTTPS_ALONE = {"SERVER__TRUSTED_PROXIES": "127.0.0.0/8", "SERVER__REQUIRE_HTTPS": True}
PUBLIC = {"SERVER__PUBLIC_URL": "https://auth.example.com"}


@pytest.mark.parametrize("path", ["/auth/nothing", "/nothing", "/auth/sign-in/", "/auth/account/"])
@pytest.mark.gen_test
async def test_an_unknown_path_is_a_page_for_a_browser(browser: FormBrowser, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = await browser.request(method, path, body=b"" if method == "POST" else None)
        assert answer.status == 404
        assert method == "HEAD" or "This page does not exist." in answer.text


@pytest.mark.gen_test
async def test_an_unknown_path_is_a_document_for_others_and_in_the_api(api: Api) -> None:
    assert (await api.request("GET", "/nothing")).problem == "not-found"
    html = {"Accept": "text/html"}
    assert (await api.request("GET", "/api/nothing", headers=html)).problem == "not-found"
    json = {"Accept": "text/html;q=0.8, application/json"}
    assert (await api.request("GET", "/nothing", headers=json)).problem == "not-found"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html;q=0.5, application/json"])
@pytest.mark.gen_test
async def test_an_error_of_a_page_is_a_document_for_others(api: Api, accept: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": accept}
    for method, body, fields, status, name in (
        ("PUT", b"", form, 405, "method-not-allowed"),
        (
            "POST",
            b"{}",
            {**form, "Content-Type": "application/json"},
            415,
            "unsupported-media-type",
        ),
        ("POST", b"email=a&email=b", form, 400, "malformed-request"),
    ):
        answer = await api.request(method, PATH, body=body, headers=fields)
        assert (answer.status, answer.problem) == (status, name)
        assert "Set-Cookie" not in answer.headers


@override_settings(CORS__ORIGINS="*")
@pytest.mark.gen_test
async def test_an_error_page_is_in_the_language_of_the_browser(browser: FormBrowser) -> None:
    answer = await browser.get("/auth/nothing", accept_language="de-CH, en;q=0.5")
    assert answer.find("html").attributes["lang"] == "de"
    assert "Diese Seite gibt es nicht." in answer.text


@override_settings(**HTTPS_ALONE, **PUBLIC)
@pytest.mark.gen_test
async def test_over_plain_http_a_page_redirects_to_https_and_a_form_is_rejected(
    browser: FormBrowser,
) -> None:
    for method in ("GET", "HEAD"):
        answer = await browser.request(method, f"{PATH}?next=/a%20b")
        assert answer.status == 308
        assert answer.headers["Location"] == f"https://auth.example.com{PATH}?next=/a%20b"
        assert "Set-Cookie" not in answer.headers
    sent = await browser.post(PATH, {"email": "a", "password": PASSWORD})
    assert sent.status == 403
    assert "Open this page over HTTPS." in sent.text
    # It would be without Secure.
    assert "Set-Cookie" not in sent.headers
    browser.headers["X-Forwarded-Proto"] = "https"
    assert (await browser.get(PATH)).status == 200


@override_settings(**HTTPS_ALONE)
@pytest.mark.gen_test
async def test_without_a_public_url_there_is_nowhere_to_redirect(browser: FormBrowser) -> None:
    assert (await browser.get(PATH)).status == 403


@override_settings(**PUBLIC)
@pytest.mark.gen_test
async def test_the_target_of_a_request_does_not_choose_the_host(browser: FormBrowser) -> None:
    answer = await browser.get("/", host="evil.example")
    assert (answer.status, answer.headers["Location"]) == (302, "/auth/account")


@pytest.mark.gen_test
async def test_well_known_paths_lead_to_the_pages(browser: FormBrowser) -> None:
    for path, target in {
        "/": "/auth/account",
        "/auth": "/auth/account",
        "/auth/": "/auth/account",
        "/.well-known/change-password": "/auth/account/password",
    }.items():
        answer = await browser.get(path)
        assert (answer.status, answer.headers["Location"]) == (302, target)
