"""What depends on files of the project alone: built once in a process, for all applications in it.

Each application of a test would compile the templates of the pages again, which takes several times
as long as a short test.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from contract.openapi import DocumentOptions, openapi_document
from handlers import routes
from pages import renderer
from settings import Settings
from wiring import documents
from wiring.pages import page_routes

Built = TypeVar("Built")


@contextmanager
def built_once() -> Iterator[None]:
    """Share documents, templates and texts between the applications of the block."""
    with ExitStack() as stack:
        for name in ("_load", "read_texts"):
            shared = _shared(getattr(renderer, name))
            stack.enter_context(patch.object(renderer, name, shared))
        stack.enter_context(patch.object(documents, "openapi_document", _shared_document()))
        static_documents = cache(documents.static_documents)
        stack.enter_context(patch("wiring.application.static_documents", static_documents))
        yield


def build(settings: Settings) -> None:
    """Build what applications with the usual settings share."""
    documents.static_documents(settings)
    page_routes(settings)


def _shared(read: Callable[[tuple[Path, ...]], Built]) -> Callable[[tuple[Path, ...]], Built]:
    """Return a function that reads the files of the project once.

    Files of a test, in a second folder, are read each time.
    """
    read_once = cache(read)
    return lambda folders: read_once(folders) if len(folders) == 1 else read(folders)


def _shared_document() -> Callable[..., dict[str, object]]:
    """Return a function that makes one OpenAPI document for the same options."""

    @cache
    def make(options: DocumentOptions, version: str) -> dict[str, object]:
        return openapi_document(routes, options, version=version)

    return lambda _, options, *, version: make(options, version)
