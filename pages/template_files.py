"""The templates of the pages: our own, and the ones in the settings that replace them.

Tornado's templates escape each value by default. All are compiled at startup, which fails if one of
them is faulty.
"""

import builtins
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from symtable import SymbolTable, symtable

from tornado.log import app_log
from tornado.template import DictLoader, Template

SUFFIX = ".html"
# The names in a template besides the values of its page: Python's functions, and Tornado's.
_KNOWN = frozenset(
    {
        *dir(builtins),
        *("escape", "xhtml_escape", "url_escape", "json_encode", "squeeze", "linkify", "datetime"),
    }
)


# Tornado ends each line of the generated code with the file and the line that it comes from.
_ORIGIN = re.compile(r"#\s(\S+:\d+)")
_GENERATED_LINE = re.compile(r" \(?(?:detected at|on) line \d+\)?")


class _TemplateFault(ValueError):
    """A template is faulty; the message names it and the reason."""


class _Loader(DictLoader):
    """Raises _TemplateFault for a faulty template, and names it: another one may include it."""

    def __init__(self, sources: dict[str, str]) -> None:
        super().__init__(sources, autoescape="xhtml_escape", whitespace="single")
        # The templates that are being compiled, each one because of the one before it.
        self._loading: list[str] = []

    def load(self, name: str, parent_path: str | None = None) -> Template:
        name = self.resolve_path(name, parent_path)
        if name in self._loading:
            loop = " -> ".join([*self._loading[self._loading.index(name) :], name])
            raise _TemplateFault(f"{name}: it extends or includes itself: {loop}")
        if name not in self.dict and self._loading:
            raise _TemplateFault(f"{self._loading[-1]}: there is no template {name!r}")
        self._loading.append(name)
        try:
            with _faults_of(name):
                return super().load(name)
        finally:
            self._loading.pop()


@contextmanager
def _faults_of(name: str) -> Iterator[None]:
    """Turn each error of the compilation of a template into a _TemplateFault."""
    try:
        yield
    except _TemplateFault:
        raise
    except SyntaxError as error:
        origin = _ORIGIN.search(error.text or "")
        reason = _GENERATED_LINE.sub("", error.msg)
        raise _TemplateFault(f"{name}: {reason} at {origin[1] if origin else name}") from error
    except (RecursionError, MemoryError) as error:  # of Tornado, and of Python's compiler
        raise _TemplateFault(f"{name}: it is nested too deeply") from error
    except Exception as error:  # Tornado raises this class itself for some directives
        raise _TemplateFault(f"{name}: {error}") from error


def load_templates(folder: Path, own: Path | None) -> DictLoader:
    """Return the templates of a folder, some replaced; raise OSError or ValueError.

    A template may only use names that ours use: any other name would fail with each page.
    """
    ours = _read(folder)
    loader = _compile(ours, ours)
    if own is None:
        return loader
    known = _KNOWN.union(*map(_names, loader.templates.values()))
    replaced = _read(own)
    loader = _compile({**ours, **replaced}, ours)
    for file, template in loader.templates.items():
        unknown = _names(template) - known
        if unknown:
            raise ValueError(f"{file}: {min(unknown)!r} is not defined")
    unused = replaced.keys() - loader.templates.keys()
    if unused:
        raise ValueError(f"{min(unused)}: no page uses a template of this name")
    return loader


def _read(folder: Path) -> dict[str, str]:
    # Not glob(), which finds nothing in a directory that does not exist.
    files = (file for file in sorted(folder.iterdir()) if file.suffix == SUFFIX)
    return {file.name: _text(file) for file in files}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _compile(sources: Mapping[str, str], names: Iterable[str]) -> DictLoader:
    """Return templates and the ones that they include; raise ValueError for a faulty one."""
    loader = _Loader(dict(sources))
    with _without_generated_code():
        for name in names:
            loader.load(name)
    return loader


@contextmanager
def _without_generated_code() -> Iterator[None]:
    """Keep Tornado from logging the Python code of a faulty template: the fault names its line."""
    was_disabled, app_log.disabled = app_log.disabled, True
    try:
        yield
    finally:
        app_log.disabled = was_disabled


def _names(template: Template) -> set[str]:
    """Return the names that a template does not define itself."""
    return _globals(symtable(template.code, template.name, "exec"))


def _globals(table: SymbolTable) -> set[str]:
    own = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }
    return own.union(*map(_globals, table.get_children()))
