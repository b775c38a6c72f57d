"""The tests are independent of the environment of the developer who runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT
from tests.harness.environment_variables import for_downloads, is_unwanted, remove_unwanted
from tests.harness.programs import get_program

FOR_DOWNLOADS = {
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "no_proxy": "",
    "XDG_CONFIG_HOME": "/nonexistent",
}
UNWANTED = FOR_DOWNLOADS | {
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
WANTED = {
    "PATH": "/bin",
    "HOME": "/root",
    "GIT_CONFIG_GLOBAL": "file",
    "PIP_CERT": "file",
    "PYTEST_XDIST_WORKER": "gw0",
}
CHILD = """
import os
from tests.harness.environment_variables import for_downloads, is_unwanted
from tests.harness.processes import environment
def test_environment() -> None:
    assert not list(filter(is_unwanted, os.environ))
    assert environment()["LANG"] == "C.UTF-8"
    assert for_downloads()["https_proxy"] == "http://127.0.0.1:9"
"""


def test_variables_that_change_what_programs_do_are_removed() -> None:
    environ = UNWANTED | WANTED
    # A worker of pytest-xdist begins with the result.
    for _ in range(2):
        remove_unwanted(environ)
        assert for_downloads(environ) == FOR_DOWNLOADS
        assert not UNWANTED.keys() & environ
        assert environ.items() >= WANTED.items()


@pytest.mark.needs("git")
def test_git_finds_no_repository_by_variables() -> None:
    command = [get_program("git"), "rev-parse", "--local-env-vars"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(map(is_unwanted, shown.split()))


def test_tests_and_their_servers_do_not_get_them(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    # All tests have the plugin, and it is imported faster than all of tests.conftest.
    plugin = "tests.harness.isolation"
    assert pytestconfig.pluginmanager.has_plugin(plugin)
    (tmp_path / "test_child.py").write_text(CHILD)
    # A worker, since it inherits what the main process has removed and kept.
    options = ("-q", "-n=1", "-pxdist.plugin", f"-p{plugin}", "-pno:cacheprovider")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | UNWANTED | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
