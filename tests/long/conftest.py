"""What the tests of the pages in Chromium share."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.harness.browser import LOCAL_SITES, chromium


@pytest.fixture(scope="session")
def driver() -> Iterator[Chrome]:
    """Run one Chromium for all files, to which every host is this machine."""
    with chromium(*LOCAL_SITES) as running:
        yield running
