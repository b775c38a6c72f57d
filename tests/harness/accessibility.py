"""The rules of WCAG 2.2 AA that a program can check, by axe-core (tests/harness/axe)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

_AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """
const [tags, done] = arguments;
axe.run({runOnly: tags}).then(done, error => done({violations: [{id: String(error), nodes: []}]}));
"""


def violations(driver: Chrome) -> list[str]:
    """Return what axe-core finds on the page: the rule, and the elements that break it."""
    driver.execute_script(_AXE)
    found: Mapping[str, Any] = driver.execute_async_script(_RUN, _TAGS)
    assert found.get("passes"), found
    return [
        f"{rule['id']}: {', '.join(node['html'] for node in rule['nodes'])}"
        for rule in found["violations"]
    ]


@contextmanager
def screen(driver: Chrome, *, width: int = 1000, scheme: str = "light") -> Iterator[None]:
    """Show pages on a screen of another width, in the light or the dark color scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@contextmanager
def without_script(driver: Chrome) -> Iterator[None]:
    """Show pages as a browser does that runs no scripts of theirs."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
