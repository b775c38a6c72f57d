"""Log messages about requests, without those of periodic tasks, which may run at any time."""

import logging

import pytest

from ops.logs import SERVER


def request_messages(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the server's log records that have the route of a request."""
    return [each for each in caplog.records if each.name == SERVER and "route" in vars(each)]
