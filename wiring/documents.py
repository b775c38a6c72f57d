"""The static documents: the OpenAPI document, /docs, problems, and pages that messages link to."""

from collections.abc import Mapping
from pathlib import Path

from contract.openapi import DocumentOptions, encode, openapi_document
from handlers import routes
from handlers.static_documents import (
    StaticDocument,
    read_logo,
    read_message_pages,
    read_page_parts,
    read_problems,
    read_static_documents,
)
from pages import page_routes
from settings import Settings
from wiring.errors import StartError, WrongSettings
from wiring.program import ROOT, version


def static_documents(settings: Settings) -> Mapping[str, StaticDocument]:
    """Return the static documents by path, for these settings and this version.

    Raises WrongSettings if the logo cannot be read, and StartError if another file is missing.
    """
    docs, pages = settings.docs.enabled, settings.pages
    has_pages = settings.serves_pages
    try:
        return {
            **read_problems(ROOT),
            **(read_static_documents(ROOT, _openapi(settings)) if docs else {}),
            **_message_pages(settings),
            **(read_page_parts(ROOT, pages.color) if has_pages else {}),
            **(_logo(pages.logo) if has_pages and pages.logo else {}),
        }
    except OSError as error:
        raise StartError(f"a page cannot be read: {error}") from error


def _logo(logo: Path) -> Mapping[str, StaticDocument]:
    try:
        return read_logo(logo)
    except OSError as error:
        raise WrongSettings(f"pages.logo {logo} cannot be read: {error.strerror}.") from error


def _message_pages(settings: Settings) -> Mapping[str, StaticDocument]:
    """Return the pages that links in messages open, unless the server has pages."""
    replaced = {path for path, _ in page_routes} if settings.serves_pages else set()
    found = read_message_pages(ROOT)
    return {path: page for path, page in found.items() if path not in replaced}


def _openapi(settings: Settings) -> bytes:
    options = DocumentOptions(
        min_password_length=settings.passwords.min_length,
        refuse_common_passwords=settings.passwords.refuse_common,
        current_password_required=settings.passwords.current_required,
        max_body_bytes=settings.limits.max_body_bytes,
        public_url=settings.server.public_url,
    )
    return encode(openapi_document(routes, options, version=version()))
