"""/openapi.json, /docs: what there is to read of the API, kept in memory.

Nothing of a path leads to a file: there are these paths, and no others.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from contract.calls import Answer, Call
from handlers.base import BaseHandler
from transport.response import Fields

# The page takes all it needs from here, and runs no script that stands in it.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY: Fields = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
_MEDIA_TYPES = {
    ".html": "text/html; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".js": "text/javascript; charset=UTF-8",
    # Of text/plain every browser shows the text.
    ".md": "text/plain; charset=UTF-8",
}
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

PAGE_PATH = "/docs"
OPENAPI_PATH = "/openapi.json"
# What is at which path, from the folder of the server.
_FILES = {
    PAGE_PATH: "web/docs.html",
    "/docs/docs.css": "web/docs.css",
    "/docs/docs.js": "web/docs.js",
    "/docs/swagger-ui.css": "web/swagger-ui/swagger-ui.css",
    "/docs/swagger-ui-bundle.js": "web/swagger-ui/swagger-ui-bundle.js",
    # Where the types of problems lead.
    "/docs/problems.md": "docs/problems.md",
}
_TAG_BYTES = 18
_READ = Call(summary="Read about the API", answer=Answer("What there is to read."))


@dataclass(frozen=True, slots=True)
class StaticDocument:
    """Something to read, with its strong entity tag: another content has another one."""

    content: bytes = field(repr=False)
    media_type: str
    entity_tag: str

    @property
    def fields(self) -> Fields:
        """Return what its answer's header holds, whether or not the content is sent."""
        return (("ETag", self.entity_tag), *_SECURITY)

    def is_known(self, if_none_match: str | None) -> bool:
        """Tell whether the client has this content already (RFC 9110, section 13.1.2)."""
        given = if_none_match or ""
        return given.strip() == "*" or self.entity_tag in _ENTITY_TAG.findall(given)


class StaticDocumentHandler(BaseHandler):
    calls: ClassVar = {"GET": _READ, "HEAD": _READ}

    def get(self) -> None:
        publication = self.application.static_documents[self.request.path]
        # Kept by caches, but not used unasked: a server of another version has other ones.
        self.cache_control = "no-cache"
        if publication.is_known(self.request.headers.get("If-None-Match")):
            self.answer(HTTPStatus.NOT_MODIFIED, publication.fields)
        else:
            media_type = ("Content-Type", publication.media_type)
            self.answer(HTTPStatus.OK, (media_type, *publication.fields), publication.content)

    head = get


def read_static_documents(root: Path, openapi: bytes) -> Mapping[str, StaticDocument]:
    """Return what is published, by path; raises OSError where a file is missing."""
    files = {
        path: _publication((root / name).read_bytes(), _MEDIA_TYPES[Path(name).suffix])
        for path, name in _FILES.items()
    }
    return {OPENAPI_PATH: _publication(openapi, "application/json; charset=UTF-8"), **files}


def _publication(content: bytes, media_type: str) -> StaticDocument:
    digest = hashlib.sha256(content).digest()[:_TAG_BYTES]
    tag = base64.urlsafe_b64encode(digest).decode("ascii")
    return StaticDocument(content, media_type, f'"{tag}"')
