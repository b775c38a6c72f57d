"""The OpenAPI document of the server, and whether a response conforms to it."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema_rs

from handlers.static_documents import OPENAPI_PATH
from tests.harness.configuration import settings_with
from wiring.documents import static_documents

if TYPE_CHECKING:
    from tests.harness.api import Answer

# Header fields of HTTP itself, which the document does not list.
_OF_HTTP = {"Date", "Content-Type", "Content-Length", "Connection", "Vary"}
# Header fields for browsers, which are not part of the API.
_OF_BROWSERS = "Access-Control-"
# RFC 9562, section 4: clients may reject others.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@cache
def document() -> dict[str, Any]:
    """Return the document of a server with the settings of tests."""
    content: dict[str, Any] = json.loads(static_documents(settings_with())[OPENAPI_PATH].content)
    return content


def check_answer(answer: "Answer", *, method: str, target: str) -> None:
    """Assert that the document describes a response: its status, its headers and its body."""
    item = _path_item(urlsplit(target).path)
    if item is None:
        return
    # Methods are case-sensitive, and the server rejects those that the document does not list.
    documented = {name.upper(): operation for name, operation in item.items()}
    if method not in documented:
        assert answer.status in ({204} if method == "OPTIONS" else {404, 405})
        return
    responses = documented[method]["responses"]
    assert str(answer.status) in responses, (method, target, answer.status)
    response = resolved(responses[str(answer.status)])
    _check_headers(answer.headers, response["headers"])
    [(media_type, content)] = response.get("content", {"": None}).items()
    if method == "HEAD" or content is None:
        assert answer.content == b""
    else:
        assert answer.headers["Content-Type"] == f"{media_type}; charset=UTF-8"
        validator(json.dumps(content["schema"])).validate(answer.json)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document, with its reference resolved."""
    if "$ref" not in part:
        return part
    found = document()
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


@cache
def validator(schema: str) -> jsonschema_rs.Validator:
    """Return the validator for a schema of the document in JSON.

    Clients must ignore unknown members; here, they are errors.
    """
    components = _closed(document()["components"])
    return jsonschema_rs.validator_for(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": {"schemas": components["schemas"]},
            **json.loads(schema),
        },
        validate_formats=True,
        formats={"uuid": lambda text: _UUID.fullmatch(text) is not None},
    )


def _path_item(path: str) -> dict[str, Any] | None:
    paths: dict[str, dict[str, Any]] = document()["paths"]
    if path in paths:
        return paths[path]
    parent, _, last = path.rpartition("/")
    return paths.get(f"{parent}/{{id}}") if last else None


def _check_headers(sent: Mapping[str, str], documented: Mapping[str, Any]) -> None:
    of_the_api = {name for name in sent if not name.startswith(_OF_BROWSERS)} - _OF_HTTP
    assert of_the_api <= {*map(_canonical, documented)}
    for name, header in documented.items():
        assert name in sent, f"{name} is missing"
        validator(json.dumps(resolved(header)["schema"])).validate(sent[name])


def _canonical(name: str) -> str:
    """Return the name of a header in the spelling of Tornado's client."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _closed(schema: Any) -> Any:
    if isinstance(schema, dict):
        inner = {name: _closed(value) for name, value in schema.items()}
        is_object = inner.get("type") == "object" and isinstance(inner.get("properties"), dict)
        return {"additionalProperties": False, **inner} if is_object else inner
    return [_closed(part) for part in schema] if isinstance(schema, list) else schema
