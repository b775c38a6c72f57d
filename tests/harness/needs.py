"""A pytest plugin: a test declares the programs it needs, and is skipped if one is missing.

The last lines of the output name each missing program, the number of skipped tests, and the command
that installs it. With ``--require-programs`` such a test fails instead.
"""

from collections import Counter

import pytest

from tests.harness.programs import INSTALL_COMMAND, PROGRAMS, find_program

_PROPERTY = "missing program"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-programs",
        action="store_true",
        help="fail the tests whose programs are missing, instead of skipping them",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(program, ...): the programs that the test runs, of tests.harness.programs"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = {name for mark in item.iter_markers("needs") for name in mark.args}
    missing = [name for name in sorted(needed) if find_program(name) is None]
    if not missing:
        return
    reason = f"{', '.join(missing)} missing; to install: {INSTALL_COMMAND}"
    if item.config.getoption("--require-programs"):
        pytest.fail(reason, pytrace=False)
    # Properties of a report pass from the workers of pytest-xdist to the process that sums up.
    item.user_properties.extend((_PROPERTY, name) for name in missing)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = Counter(
        str(value)
        for report in terminalreporter.stats.get("skipped", [])
        for name, value in report.user_properties
        if name == _PROPERTY
    )
    if not skipped:
        return
    terminalreporter.section("tests skipped for missing programs")
    for program, count in sorted(skipped.items()):
        tests = "1 test needs" if count == 1 else f"{count} tests need"
        package = PROGRAMS[program].package
        terminalreporter.line(
            f"{tests} {program} (package {package}). To install: {INSTALL_COMMAND}"
        )
