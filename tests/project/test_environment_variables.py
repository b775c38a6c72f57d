"""The tests are independent of the environment of the developer who runs them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.configuration import ROOT
from tests.harness.environment_variables import proxies, remove_unwanted

PROXIES = {"https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9", "no_proxy": ""}
UNWANTED = PROXIES | {
    "APP_SETTINGS": "production",
    "BASH_FUNC_x%%": "() {  echo x\n}",
    "COLUMNS": "50",
    "DATABASE_URL": "postgresql://127.0.0.1:9/",
    "FORCE_COLOR": "1",
    "LC_ALL": "de_DE.UTF-8",
    "LISTEN_FDS": "1",
    "PGOPTIONS": "-c nonsense=1",
    "PYTEST_ADDOPTS": "--color=yes",
    "USERAUTH_NONSENSE": "1",
}
WANTED = {"PATH": "/bin", "HOME": "/root", "PIP_CERT": "file", "PYTEST_XDIST_WORKER": "gw0"}
CHILD = """
import os
from tests.harness.environment_variables import is_unwanted, proxies
from tests.harness.processes import environment
def test_environment() -> None:
    assert not list(filter(is_unwanted, os.environ))
    assert environment()["LANG"] == "C.UTF-8"
    assert proxies()["https_proxy"] == "http://127.0.0.1:9"
"""


def test_variables_that_change_what_programs_do_are_removed() -> None:
    environ = UNWANTED | WANTED
    # A worker of pytest-xdist begins with the result.
    for _ in range(2):
        remove_unwanted(environ)
        assert proxies(environ) == PROXIES
        assert not UNWANTED.keys() & environ
        assert environ.items() >= WANTED.items()


def test_tests_and_their_servers_do_not_get_them(tmp_path: Path) -> None:
    (tmp_path / "test_child.py").write_text(CHILD)
    # A worker, since it inherits what the main process has removed and kept.
    options = ("-q", "-n=1", "-p", "tests.conftest", "-p", "no:cacheprovider")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | UNWANTED,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
