"""The pages in Chromium, as people with different needs use them."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness.accessibility import screen, violations, without_script
from tests.harness.browser import chromium, console_errors, hosts
from tests.harness.imported_users import PASSWORD
from tests.harness.processes import ServerProcess, running_server
from tests.harness.sql import run_sql
