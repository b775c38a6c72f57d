"""The templates of the pages: our own, and the ones in the settings that replace them.

Tornado's templates escape each value by default. All are compiled at startup, which fails if one of
them is faulty.
"""

import builtins
from collections.abc import Iterable, Mapping
from pathlib import Path
from symtable import SymbolTable, symtable

from tornado.template import DictLoader, ParseError, Template

SUFFIX = ".html"
# The names in a template besides the values of its page: Python's functions, and Tornado's.
_KNOWN = frozenset(
    {
        *dir(builtins),
        *("escape", "xhtml_escape", "url_escape", "json_encode", "squeeze", "linkify", "datetime"),
    }
)


class _Loader(DictLoader):
    """Raises ValueError for a faulty template, and names it: another one may include it."""

    def load(self, name: str, parent_path: str | None = None) -> Template:
        name = self.resolve_path(name, parent_path)
        try:
            return super().load(name)
        except (ParseError, SyntaxError) as error:
            raise ValueError(f"{name}: {error}") from error
        except KeyError as error:
            if name not in self.dict:  # raised again for the template that includes this one
                raise
            raise ValueError(f"{name}: there is no template {error}") from error


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
    loader = _Loader(dict(sources), autoescape="xhtml_escape", whitespace="single")
    for name in names:
        loader.load(name)
    return loader


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
