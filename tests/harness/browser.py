"""Chromium without a window: its requests, the errors on its console, and a screenshot."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.harness.processes import free_port
from tests.harness.programs import get_program

_SWITCHES = (
    "--headless=new",
    "--window-size=1000,1100",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    # No other host is found.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Every host name is this machine, and no certificate is checked. The last switch of a name counts.
LOCAL_SITES = ("--host-resolver-rules=MAP * 127.0.0.1", "--ignore-certificate-errors")


@contextmanager
def chromium(*switches: str) -> Iterator[Chrome]:
    """Run Chromium with logs of its console and its requests."""
    options = ChromeOptions()
    # Named, so that Selenium does not search for, or download, either.
    options.binary_location = get_program("chromium")
    for switch in (*_SWITCHES, *switches):
        options.add_argument(switch)
    if os.geteuid() == 0:
        # Chromium's sandbox does not work as root.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium leaves a directory in that of temporary files.
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        service = ChromeService(
            executable_path=get_program("chromedriver"),
            env={**os.environ, "TMPDIR": directory},
            # Another process could take the port that Selenium chooses before chromedriver starts.
            port=free_port(),
        )
        driver = Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def console_errors(driver: Chrome) -> list[str]:
    """Return the new errors and warnings on the console, without advice and reports."""
    entries: list[dict[str, Any]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [
        f"{entry['level']}: {entry['message']}"
        for entry in entries
        if entry["level"] not in {"DEBUG", "INFO"}
    ]


def hosts(driver: Chrome) -> set[str]:
    """Return the hosts that received new requests."""
    entries: list[dict[str, Any]] = driver.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    urls = [
        urlsplit(message["params"]["request"]["url"])
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return {url.netloc for url in urls if url.scheme != "data"}
