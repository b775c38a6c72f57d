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
# Fields scroll what is in them, and the link to the content is to the left until it has the focus.
_CUT_OFF = """
const cut = [];
for (const each of document.querySelectorAll("body *:not(input, .skip:not(:focus))")) {
  const {left, right, width, height} = each.getBoundingClientRect();
  const isInline = getComputedStyle(each).display === "inline";
  const isBeside = left < -0.5 || right > document.documentElement.clientWidth + 0.5;
  const isClipped = !isInline && each.scrollWidth > each.clientWidth + 1;
  if (width && height && (isBeside || isClipped)) cut.push(each.outerHTML.slice(0, 200));
}
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) cut.push("page");
return cut;
"""


def cut_off(driver: Chrome) -> list[str]:
    """Return the elements that the width of the screen cuts off, and the page if it scrolls."""
    found: list[str] = driver.execute_script(_CUT_OFF)
    return found


def violations(driver: Chrome) -> list[str]:
    """Return what axe-core finds on the page: the rule, and the elements that break it."""
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(_AXE)
    found: Mapping[str, Any] = driver.execute_async_script(_RUN, _TAGS)
    assert found.get("passes"), found
    return [
        f"{rule['id']}: {', '.join(node['html'] for node in rule['nodes'])}"
        for rule in found["violations"]
    ]


@contextmanager
def loaded_with_pages(driver: Chrome) -> Iterator[None]:
    """Load axe-core with each page: to send it to each takes four times as long."""
    method = "Page.addScriptToEvaluateOnNewDocument"
    identifier = driver.execute_cdp_cmd(method, {"source": _AXE})
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", identifier)


@contextmanager
def screen(
    driver: Chrome, *, width: int = 1000, scheme: str = "light", zoom: int = 1
) -> Iterator[None]:
    """Show pages on a screen of another width, in the light or the dark color scheme.

    Zooming divides the size in CSS pixels by the factor, so that each CSS pixel covers more pixels
    of the screen.
    """
    size = {"width": width // zoom, "height": 900 // zoom}
    metrics = {**size, "deviceScaleFactor": zoom, "mobile": False}
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
