"""Invariants of every request in these tests, and a browser."""

from collections.abc import Iterator

import pytest

from tests.harness.api import Api
from tests.harness.form_browser import FormBrowser
from tests.harness.invariants import _no_failure_is_logged, _no_request_is_still_counted

__all__ = ["_no_failure_is_logged", "_no_request_is_still_counted"]


@pytest.fixture
def browser(api: Api) -> Iterator[FormBrowser]:
    """Return a browser without cookies, on plain HTTP."""
    browser = FormBrowser(api.url)
    yield browser
    browser.close()
