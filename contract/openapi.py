"""The OpenAPI document, generated from the tables and types that handlers enforce.

A handler's ``calls`` declare what each path accepts and returns, a form declares the fields of a
body, contract.documents the bodies of responses, and rules.errors the errors. The modules
contract.openapi_* describe each of these.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from contract.calls import Endpoint, path_template
from contract.documents import TOKEN_ID_SCHEMA
from contract.openapi_operations import HEADERS, SCHEMES, Components, operation, tag
from contract.openapi_problems import problem_schema, problems_of, sample_problems
from contract.openapi_schemas import Json, body_schemas

Routes = Sequence[tuple[str, type[Endpoint]]]

# The forms with the current password, and when it is required.
_CONFIRMED = {"UserChanges": "together with `password` if", "Confirmation": "if"}
_DESCRIPTION = """\
Users register, log in, and use a signed token until it expires or is revoked.

Bodies are JSON in UTF-8. Nothing is coerced: an unknown field, or a value of another type, is
rejected. So is a query parameter that the call does not declare, except at `/api/verify` and
`/health`. Every error is a problem document (RFC 9457), whose `type` links to its explanation.

`HEAD` returns what `GET` does, without the body. In addition to the responses documented here, an
unknown path is 404; a method that a path does not support is 405 with `Allow`; `OPTIONS` returns
204 with `Allow`, without credentials.
"""
_INFO = {
    "title": "userauth",
    "summary": "A user-authentication server.",
    "description": _DESCRIPTION,
}


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """The settings that the document describes."""

    min_password_length: int
    refuse_common_passwords: bool
    current_password_required: bool
    max_body_bytes: int
    public_url: str


def _servers(public_url: str) -> list[Json]:
    """Return the servers; generated clients use the first one."""
    # Relative to the URL of this document, with any host name.
    this = {"url": "/", "description": "The server that returned this document."}
    if not public_url:
        return [this]
    return [{"url": public_url, "description": "The public address of the server."}, this]


def openapi_document(routes: Routes, options: DocumentOptions, *, version: str) -> Json:
    """Return the OpenAPI 3.1 document of the routes."""
    calls = [
        (_template(path), method, handler, call)
        for path, handler in routes
        for method, call in handler.calls.items()
    ]
    schemas, references = body_schemas([call for *_, call in calls])
    _apply_options(schemas, options)
    components = Components(references, sample_problems(options.max_body_bytes), {})
    paths: Json = {}
    for path, method, handler, call in calls:
        item = paths.setdefault(path, _path_item(path))
        item[method.lower()] = operation(method, handler, call, components)
        for cls in problems_of(method, handler, call):
            schemas[cls.__name__] = problem_schema(components.samples[cls])
    return {
        "openapi": "3.1.0",
        "info": {**_INFO, "version": version},
        "servers": _servers(options.public_url),
        "tags": _tags(handler for _, handler in routes),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": dict(sorted(components.responses.items())),
            "headers": HEADERS,
            "securitySchemes": SCHEMES,
        },
    }


def encode(document: Json) -> bytes:
    """Return a document in the encoding in which the server sends it."""
    return to_json(document) + b"\n"


def _apply_options(schemas: Json, options: DocumentOptions) -> None:
    """Add the settings to the schemas of fields."""
    password = schemas["NewPassword"]
    password["minLength"] = options.min_password_length
    if options.refuse_common_passwords:
        password["description"] += (
            " A common password is rejected, and one made of the user's own email address or name,"
            " or of the name of this service."
        )
    if options.current_password_required:
        # A schema cannot express which credentials the request presents.
        for form, condition in _CONFIRMED.items():
            schemas[form]["properties"]["current_password"]["description"] = (
                f"Required {condition} the request presents a token."
            )


def _path_item(path: str) -> Json:
    if "{id}" not in path:
        return {}
    parameter = {"name": "id", "in": "path", "required": True, "schema": TOKEN_ID_SCHEMA}
    return {"parameters": [parameter]}


def _template(pattern: str) -> str:
    """Return the path template of a route, whose groups each stand for an id."""
    path = path_template(pattern)
    if not re.fullmatch(r"(/([a-z-]+|\{id\}))+", path):
        raise ValueError(f"This route cannot be written as a path template: {pattern}")
    return path


def _tags(handlers: Iterable[type[Endpoint]]) -> list[Json]:
    """Return a tag for each module of handlers, described by its docstring."""
    tags = {tag(handler): sys.modules[handler.__module__].__doc__ or "" for handler in handlers}
    return [{"name": name, "description": text.partition(": ")[2]} for name, text in tags.items()]
