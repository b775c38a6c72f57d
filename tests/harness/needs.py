"""A pytest plugin: a test declares what it needs, and is skipped if the machine lacks it.

The last lines of the output say why tests were skipped, how many for each reason, and the command
that installs a missing program. With ``--require-programs`` a skipped test fails instead, and
xfail has no effect.
"""

import os
import socket
import stat
import subprocess
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cache

import pytest

from tests.harness import programs
from tests.harness.configuration import ROOT

_UNSHARE = ("/usr/bin/unshare", "--mount", "/bin/true")
_PROPERTY = "what the machine lacks"
_Report = pytest.TestReport | pytest.CollectReport


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _has_mount_namespaces() -> bool:
    """Return whether this user may mount, which root may not in a container."""
    try:
        return subprocess.run(_UNSHARE, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _is_readable_to_all() -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (ROOT, *ROOT.parents))


# What no package adds to a machine.
_ABILITIES: Mapping[str, Callable[[], bool]] = {
    "IPv6": _has_ipv6,
    "a checkout that other users can read": _is_readable_to_all,
    "mount namespaces": _has_mount_namespaces,
    "root": lambda: os.geteuid() == 0,
}


@cache
def _has(need: str) -> bool:
    ability = _ABILITIES.get(need)
    return programs.find_program(need) is not None if ability is None else ability()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-programs",
        action="store_true",
        help="fail the tests that would be skipped, for a missing program or for another reason;"
        " xfail has no effect",
    )


# Before pytest itself reads ``runxfail``.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.runxfail |= config.option.require_programs
    config.addinivalue_line(
        "markers",
        "needs(name, ...): the programs that the test runs, of tests.harness.programs, and the"
        f" abilities of the machine: {', '.join(_ABILITIES)}",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = frozenset(name for mark in item.iter_markers("needs") for name in mark.args)
    programs.declared = needed
    lacked = [name for name in sorted(needed) if not _has(name)]
    # Properties of a report pass from the workers of pytest-xdist to the process that sums up.
    item.user_properties.extend((_PROPERTY, name) for name in lacked)
    if lacked:
        pytest.skip(f"needs {'; '.join(map(_described, lacked))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report, collector.config)
    return report


def _fail_if_skipped(report: _Report, config: pytest.Config) -> None:
    if report.skipped and config.option.require_programs:
        report.outcome = "failed"
        # With its name, because pytest-xdist reports one of the modules that fail with equal texts.
        forbidden = f"--require-programs forbids skipping tests: {report.nodeid}"
        report.longrepr = f"{_reason(report)}\n{forbidden}"


def _reason(report: _Report) -> str:
    assert isinstance(report.longrepr, tuple)
    return report.longrepr[2].removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped")
    if not skipped:
        return
    terminalreporter.section("skipped tests")
    lines = Counter(line for report in skipped for line in _lines(report))
    for (singular, plural, rest), count in sorted(lines.items()):
        terminalreporter.line(f"{count} {singular if count == 1 else plural} {rest}")


def _lines(report: _Report) -> Iterator[tuple[str, str, str]]:
    """Yield the reasons for which a test or a module was skipped.

    Each is preceded by the wording for one and for several.
    """
    properties = getattr(report, "user_properties", ())
    lacked = [str(value) for name, value in properties if name == _PROPERTY]
    for need in lacked:
        yield "test needs", "tests need", _described(need)
    if not lacked:
        yield "skipped:", "skipped:", _reason(report)


def _described(need: str) -> str:
    if need in _ABILITIES:
        return need
    package = programs.PROGRAMS[need].package
    return f"{need} (package {package}). To install: {programs.INSTALL_COMMAND}"
