"""The static documents: the page at /docs and the OpenAPI document."""

from collections.abc import Mapping

from contract.openapi import DocumentOptions, encode, openapi_document
from handlers import routes
from handlers.static_documents import StaticDocument, read_static_documents
from settings import Settings
from wiring.errors import StartError
from wiring.program import ROOT, version


def static_documents(settings: Settings) -> Mapping[str, StaticDocument]:
    """Return the static documents by path, as these settings and this version make them."""
    options = DocumentOptions(
        min_password_length=settings.passwords.min_length,
        refuse_common_passwords=settings.passwords.refuse_common,
        current_password_required=settings.passwords.current_required,
        max_body_bytes=settings.limits.max_body_bytes,
    )
    document = openapi_document(routes, options, version=version())
    try:
        return read_static_documents(ROOT, encode(document))
    except OSError as error:
        raise StartError(f"a file of the page at /docs cannot be read: {error}") from error
