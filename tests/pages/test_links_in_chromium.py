"""The secret of a link, in a real browser."""

import asyncio

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.api import Api
from tests.harness.browser import chromium
from tests.harness.configuration import override_settings
from tests.harness.mail_calls import NEW_PASSWORD, SETTINGS, Sent, request_reset, sent_by


def reset(url: str, sent: Sent) -> list[str]:
    """Open the link, send a password that is rejected, then another; return the addresses."""
    with chromium() as driver:
        wait = WebDriverWait(driver, 20)
        driver.get(f"{url}/auth/reset?request={sent.id}#{sent.secrets.token}")
        addresses = []
        for password, follows in (("short", "#password-error"), (NEW_PASSWORD, ".notice")):
            # The script has run.
            wait.until(lambda page: not page.find_elements(By.CSS_SELECTOR, "[data-without-link]"))
            addresses.append(driver.current_url)
            field = driver.find_element(By.NAME, "password")
            field.send_keys(password)
            field.submit()
            shown = (By.CSS_SELECTOR, follows)
            wait.until(expected_conditions.presence_of_element_located(shown))
        return [*addresses, driver.current_url]


@override_settings(**SETTINGS)
@pytest.mark.gen_test(timeout=60)
async def test_the_secret_of_a_link_survives_a_rejected_password_and_leaves_the_address(
    api: Api, dsn: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    addresses = await asyncio.to_thread(reset, api.url, sent)
    assert addresses[-1] == f"{api.url}/auth/sign-in?done=reset#main"
    for address in addresses:
        assert sent.secrets.token not in address
    assert (await api.log_in(password=NEW_PASSWORD)).status == 200
