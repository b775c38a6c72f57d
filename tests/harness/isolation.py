"""A pytest plugin: tests depend neither on the environment nor on how they are started."""

import os
import signal

import pytest

from tests.harness.environment_variables import remove_unwanted


# By then pytest has read its own variables, but has neither imported tests nor started workers.
@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Make tests independent of the environment, and let SIGINT stop child processes.

    Background processes, and their children, ignore it.
    """
    remove_unwanted(os.environ)
    signal.signal(signal.SIGINT, signal.default_int_handler)
