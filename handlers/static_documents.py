"""The documents at /openapi.json and /docs, and the pages that links open, read at startup.

Paths are not looked up in the file system: exactly the paths listed here exist.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from transport.response import Fields

# The page loads everything from this server, and runs no inline script.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY: Fields = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
# Pages that messages link to load nothing: their URLs contain secrets in the fragment.
_MESSAGE_PAGE_POLICY = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MESSAGE_PAGE_SECURITY: Fields = (
    ("Content-Security-Policy", _MESSAGE_PAGE_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)
_MEDIA_TYPES = {
    ".html": "text/html; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".js": "text/javascript; charset=UTF-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    # Browsers display text/plain, and download text/markdown.
    ".md": "text/plain; charset=UTF-8",
}
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

DOCS_PATH = "/docs"
OPENAPI_PATH = "/openapi.json"
# The file of each path, relative to the project's directory.
_FILES = {
    DOCS_PATH: "web/docs.html",
    "/docs/docs.css": "web/docs.css",
    "/docs/docs.js": "web/docs.js",
    "/docs/swagger-ui.css": "web/swagger-ui/swagger-ui.css",
    "/docs/swagger-ui-bundle.js": "web/swagger-ui/swagger-ui-bundle.js",
}
# The ``type`` of each problem document refers to it, so it is served with any settings.
_PROBLEMS_FILE = "docs/problems.md"
PROBLEMS_PATH = f"/{_PROBLEMS_FILE}"
# Links in messages open these pages, as do links that an administrator prints without a relay.
_MESSAGE_PAGES = {
    f"/auth/{page}": f"web/auth/{page}.html" for page in ("verify", "reset", "undo", "forgot")
}
STYLE_PATH, LOGO_PATH = "/auth/style.css", "/auth/logo"
_PAGE_PARTS = {STYLE_PATH: "web/auth/style.css", "/auth/pages.js": "web/auth/pages.js"}
_TAG_BYTES = 18


@dataclass(frozen=True, slots=True)
class StaticDocument:
    """A document with its strong entity tag, which changes with the content.

    Caches may store it, but must revalidate it: another version of the server has other documents.
    They may not store a document without an entity tag.
    """

    content: bytes = field(repr=False)
    media_type: str
    entity_tag: str | None
    security: Fields = _SECURITY

    @property
    def cache_control(self) -> str:
        """Return the value of Cache-Control."""
        return "no-store" if self.entity_tag is None else "no-cache"

    @property
    def fields(self) -> Fields:
        """Return the header fields of a response with or without the content."""
        if self.entity_tag is None:
            return self.security
        return (("ETag", self.entity_tag), *self.security)

    def matches(self, if_none_match: str | None) -> bool:
        """Return whether the caller already has this content (RFC 9110, section 13.1.2)."""
        if self.entity_tag is None or if_none_match is None:
            return False
        return if_none_match == "*" or self.entity_tag in _ENTITY_TAG.findall(if_none_match)


def read_message_pages(root: Path) -> Mapping[str, StaticDocument]:
    """Return the pages that links in messages open if the server has none; raise OSError."""
    return {
        path: replace(page, entity_tag=None, security=_MESSAGE_PAGE_SECURITY)
        for path, page in _read_files(root, _MESSAGE_PAGES).items()
    }


def read_page_parts(root: Path, color: str) -> Mapping[str, StaticDocument]:
    """Return the style sheet with a color, and the script of the pages; raise OSError."""
    parts = _read_files(root, _PAGE_PARTS)
    style = parts[STYLE_PATH]
    content = style.content + f":root {{ --accent: {color}; }}\n".encode()
    return {**parts, STYLE_PATH: _static_document(content, style.media_type)}


def read_logo(logo: Path) -> Mapping[str, StaticDocument]:
    """Return the logo of the pages; raise OSError."""
    return {LOGO_PATH: _static_document(logo.read_bytes(), _MEDIA_TYPES[logo.suffix])}


def read_problems(root: Path) -> Mapping[str, StaticDocument]:
    """Return the document that problems link to; raise OSError if it is missing."""
    return _read_files(root, {PROBLEMS_PATH: _PROBLEMS_FILE})


def read_static_documents(root: Path, openapi: bytes) -> Mapping[str, StaticDocument]:
    """Return the documents by path; raise OSError if a file is missing."""
    return {
        OPENAPI_PATH: _static_document(openapi, "application/json; charset=UTF-8"),
        **_read_files(root, _FILES),
    }


def _read_files(root: Path, files: Mapping[str, str]) -> dict[str, StaticDocument]:
    return {
        path: _static_document((root / name).read_bytes(), _MEDIA_TYPES[Path(name).suffix])
        for path, name in files.items()
    }


def _static_document(content: bytes, media_type: str) -> StaticDocument:
    digest = hashlib.sha256(content).digest()[:_TAG_BYTES]
    tag = base64.urlsafe_b64encode(digest).decode("ascii")
    return StaticDocument(content, media_type, f'"{tag}"')
