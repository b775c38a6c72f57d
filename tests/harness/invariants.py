"""Fixtures that check every test: no request causes an error, and none remains counted."""

import logging
from collections.abc import Iterator

import pytest

from handlers.application import Application


@pytest.fixture(autouse=True)
def _no_failure_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Assert that no error was logged; a test that provokes one clears caplog."""
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, [record.getMessage() for record in errors]


@pytest.fixture(autouse=True)
def _no_request_is_still_counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert that a drained server counts no running requests."""
    application: Application | None = None
    if "app" in request.fixturenames:
        application = request.getfixturevalue("app")
    yield
    assert application is None or application.running == 0
