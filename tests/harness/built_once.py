"""What depends on files of the project alone: built once in a process, for all applications in it.

Each application of a test would compile the templates of the pages again, which takes several times
as long as a short test.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

from tornado.template import DictLoader

from contract.openapi import DocumentOptions, openapi_document
from handlers import routes
from pages import renderer
from pages.template_files import load_templates
from pages.texts import Texts, read_texts
from settings import Settings
from wiring import documents
from wiring.pages import page_routes


@contextmanager
def built_once() -> Iterator[None]:
    """Share documents, templates and texts between the applications of the block."""
    with ExitStack() as stack:
        load, read = _shared_templates(), _shared_texts()
        stack.enter_context(patch.object(renderer, "load_templates", load))
        stack.enter_context(patch.object(renderer, "read_texts", read))
        stack.enter_context(patch.object(documents, "openapi_document", _shared_document()))
        static_documents = cache(documents.static_documents)
        stack.enter_context(patch("wiring.application.static_documents", static_documents))
        yield


def build(settings: Settings) -> None:
    """Build what applications with the usual settings share."""
    documents.static_documents(settings)
    page_routes(settings)


# Files of a test, which replace or add to those of the project, are read each time.


def _shared_templates() -> Callable[[Path, Path | None], DictLoader]:
    load_once = cache(load_templates)
    return lambda ours, own: (load_templates if own else load_once)(ours, own)


def _shared_texts() -> Callable[[tuple[Path, ...]], Mapping[str, Texts]]:
    read_once = cache(read_texts)
    return lambda folders: (read_texts if len(folders) > 1 else read_once)(folders)


def _shared_document() -> Callable[..., dict[str, object]]:
    """Return a function that makes one OpenAPI document for the same options."""

    @cache
    def make(options: DocumentOptions, version: str) -> dict[str, object]:
        return openapi_document(routes, options, version=version)

    return lambda _, options, *, version: make(options, version)
