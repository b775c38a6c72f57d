"""Tornado is used at its public interfaces alone, so that a new release breaks nothing silently."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import tornado.httputil
import tornado.routing
import tornado.web

from tests.harness.configuration import ROOT, SOURCE_PATHS

# What an HTTP/1 connection of Tornado consists of: the server has its own.
REPLACED = {"tornado.http1connection", "tornado.httpserver", "tornado.tcpserver"}
_PRIVATE = re.compile(r"\b_[a-z]\w*\b")
_SOURCES = (tornado.web, tornado.httputil, tornado.routing)


def _private_names() -> frozenset[str]:
    """Return the private attributes of Tornado's classes for handlers and connections."""
    found: set[str] = set()
    for module in _SOURCES:
        tree = ast.parse(Path(module.__file__ or "").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return frozenset(name for name in found if _PRIVATE.fullmatch(name))


def _faults(source: str, private: Iterable[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in private:
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tornado"):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
            yield from {node.module or ""} & REPLACED
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & REPLACED
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in private
        ):
            yield node.value


def _modules() -> list[Path]:
    """Return the modules that import Tornado, and those of handlers, which inherit from it."""
    paths = [ROOT / name for name in SOURCE_PATHS]
    modules = [
        file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))
    ]
    return sorted(
        file
        for file in modules
        if file.parent.name == "handlers" or "tornado" in file.read_text("utf-8")
    )


def test_no_private_attribute_of_tornado_is_used() -> None:
    private = _private_names()
    assert {"_headers", "_finished", "_write_buffer", "_execute", "_body_future"} <= private
    faults = {
        file.relative_to(ROOT).as_posix(): found
        for file in _modules()
        if (found := sorted(set(_faults(file.read_text("utf-8"), private))))
    }
    assert faults == {}


@pytest.mark.parametrize(
    "source",
    [
        "self._finished = True",
        "handler._execute(())",
        'getattr(handler, "_headers")',
        "from tornado.web import _HandlerDelegate",
        "from tornado.http1connection import HTTP1Connection",
        "import tornado.httpserver",
    ],
)
def test_a_private_attribute_is_found(source: str) -> None:
    assert list(_faults(source, _private_names()))
