"""Which paths a person may be sent to."""

import pytest

from pages import page_routes
from rules.return_path import read_return_path
from tests.harness.accounts import ACCOUNT, signed_in
from tests.harness.api import PASSWORD, Api
from tests.harness.form_browser import FormBrowser

PATHS = {path: page for path, page in page_routes if "(" not in path and "\\" not in path}


def test_a_sign_in_returns_to_each_page_but_the_sign_out_and_what_only_takes_forms() -> None:
    for suffix in ("", "?a=b", "#a"):
        rejected = {path for path in PATHS if read_return_path(path + suffix) is None}
        assert rejected == {"/auth/sign-out"} | {
            path for path, page in PATHS.items() if "GET" not in page.calls
        }


@pytest.mark.gen_test
async def test_after_a_sign_in_no_page_that_only_takes_forms_opens(
    api: Api, browser: FormBrowser
) -> None:
    await signed_in(api, browser)
    browser.cookies.clear()
    page = await browser.get("/auth/sign-in?next=/auth/language")
    assert "next" not in page.form("/auth/sign-in").values
    answer = await browser.sign_in("susan@example.com", PASSWORD, next="/auth/language")
    assert answer.target == ACCOUNT


@pytest.mark.parametrize("path", ["/favicon.ico", "/auth/nothing", "/nothing"])
@pytest.mark.gen_test
async def test_a_page_without_a_form_sets_no_cookie(browser: FormBrowser, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status == 404
    assert "Set-Cookie" not in answer.headers


@pytest.mark.gen_test
async def test_a_rejected_head_gets_a_document_since_what_it_accepts_is_not_read(api: Api) -> None:
    query = "&".join(f"a{number}=1" for number in range(101))
    answer = await api.request("GET", f"/auth/sign-in?{query}", headers={"Accept": "text/html"})
    assert (answer.status, answer.problem) == (400, "malformed-request")
