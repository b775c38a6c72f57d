"""Screenshots of pages, which are the same whenever they are taken."""

import base64
from pathlib import Path

from selenium.webdriver import Chrome

_MAX_HEIGHT = 900
# Times and ids differ each time, and so does the cursor, which blinks.
_STEADY = """
document.documentElement.style.caretColor = "transparent";
for (const each of document.querySelectorAll("time")) each.textContent = "2026-01-01 12:00 UTC";
for (const each of document.querySelectorAll(".hint")) {
  each.textContent = each.textContent.replace(/[0-9a-f-]{32,36}/, "6f1c2a90");
}
return document.documentElement.scrollHeight;
"""


def take_screenshot(driver: Chrome, file: Path) -> None:
    """Write a picture of the top of the page, as wide as its screen."""
    height = driver.execute_script(_STEADY)
    width = driver.execute_script("return innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, _MAX_HEIGHT), "scale": 1}
    options = {"format": "webp", "quality": 80, "clip": clip, "captureBeyondViewport": True}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", options)
    file.write_bytes(base64.b64decode(taken["data"]))
