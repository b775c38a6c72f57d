"""docs/api-reference.md, made from the OpenAPI document: ``make reference`` writes it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from contract.documents import TOKEN_ID_SCHEMA
from tests.harness.configuration import ROOT
from tests.harness.openapi import document, resolved

PAGE = ROOT / "docs" / "api-reference.md"
Json = dict[str, Any]
_CREDENTIALS = {
    "password": "email address and password",
    "tokenAsUserName": "token",
    "token": "token",
    "session": "the session of a browser",
    "client": "client id and secret",
}
_INTRODUCTION = """\
# API reference

This page lists every call of the HTTP API. It is generated from the server's OpenAPI document,
with the default settings of development. For the rules that all calls share, read
[api.md](api.md). For examples with curl, read [login-and-tokens.md](login-and-tokens.md) and
[check-tokens.md](check-tokens.md).

`HEAD` returns the header of `GET`, except for the login. `OPTIONS` returns 204 with the methods of
a path in `Allow`.
"""


def reference() -> str:
    """Return the text of the page."""
    calls = [
        (method.upper(), path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method not in {"head", "parameters"}
    ]
    common = set.intersection(*(set(_problems(operation)) for _, _, operation in calls))
    parts = [
        _INTRODUCTION,
        _table(
            ("call", "purpose", "credentials"),
            (
                (f"[{method} {path}](#{_fragment(method, path)})", call["summary"], _guard(call))
                for method, path, call in calls
            ),
        ),
        "Every call can also return these problems: " + _links(sorted(common)) + ".\n",
        *(_call(method, path, operation, common) for method, path, operation in calls),
        "## Objects\n",
        *_objects(operation for _, _, operation in calls),
    ]
    return "\n".join(parts)


def _call(method: str, path: str, operation: Json, common: set[str]) -> str:
    parts = [
        f"## `{method} {path}`\n",
        f"{operation['summary']}. {operation['description']}\n",
        f"**Credentials:** {_guard(operation)}.\n",
    ]
    if "parameters" in operation:
        rows = [
            (f"`{one['name']}`", _type(one["schema"]), one["description"])
            for one in operation["parameters"]
        ]
        parts.append(_table(("query parameter", "type", "description"), rows))
    if "requestBody" in operation:
        parts.append(_body(operation["requestBody"]))
    parts.append(_success(operation))
    own = [name for name in _problems(operation) if name not in common]
    parts.append(f"**Problems:** {_links(own)}.\n" if own else "")
    return "\n".join(part for part in parts if part)


def _body(body: Json) -> str:
    [(media_type, content)] = body["content"].items()
    schema = _schema(content["schema"])
    needed = "required" if body["required"] else "optional"
    return f"**Body** ({needed}, `{media_type}`): {_plain(schema['description'])}\n\n" + _fields(
        schema, required=True
    )


def _success(operation: Json) -> str:
    successes = (each for each in operation["responses"].items() if each[0].startswith("2"))
    return "\n".join(_response(status, response) for status, response in successes)


def _response(status: str, response: Json) -> str:
    text = f"**Response:** {status}. {response['description']}"
    [content] = response.get("content", {"": None}).values()
    names = [] if content is None else _names(content["schema"])
    if names:
        text += " Body: " + " or ".join(f"[{name}](#{name.lower()})" for name in names) + "."
    own = {name: field for name, field in response["headers"].items() if "description" in field}
    rows = [(f"`{name}`", field["description"]) for name, field in own.items()]
    return text + "\n" + ("\n" + _table(("header field", "description"), rows) if rows else "")


def _objects(operations: Iterable[Json]) -> Iterator[str]:
    """Yield a section for each object in a response, and for the objects in it."""
    wanted = ["ProblemDocument", "FieldProblem"]
    for operation in operations:
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values() if status[0] == "2" else ():
                wanted += _names(content["schema"])
    schemas = document()["components"]["schemas"]
    wanted += [name for name in list(wanted) for name in _names(schemas[name])]
    for name in sorted(set(wanted)):
        schema = schemas[name]
        yield f"### {name}\n\n{_plain(schema['description'])}\n"
        if schema.get("properties"):
            yield _fields(schema, required=False)


def _fields(schema: Json, *, required: bool) -> str:
    """Return a table of the fields of an object."""
    needed = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        marks = (name in needed) if required else (name not in needed)
        mark = ("required" if required else "optional") if marks else ""
        rows.append((f"`{name}`", _type(field), mark, _described(field)))
    return _table(("field", "type", "", "description"), rows)


def _described(field: Json) -> str:
    schema = _schema(field)
    parts = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return field.get("description") or str(_schema(parts[0]).get("description", ""))


def _type(schema: Json) -> str:
    """Return a type in words."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "$ref" in schema:
        found = _schema(schema)
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if found.get("type") == "object" else _type(found)
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}"
    return _simple_type(schema) + _default(schema)


def _simple_type(schema: Json) -> str:
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "maximum" in schema:
        return f"integer, {schema['minimum']} to {schema['maximum']}"
    if schema == TOKEN_ID_SCHEMA:
        return "id, in the form of a UUID"
    form = {"date-time": "time", "uuid": "UUID"}.get(schema.get("format", ""))
    length = schema.get("minLength", 0)
    return (form or str(schema["type"])) + (f", at least {length} characters" if length > 1 else "")


def _default(schema: Json) -> str:
    default = schema.get("default")
    return "" if default is None else f"; default `{str(default).lower()}`"


def _names(schema: Json) -> list[str]:
    """Return the names of the objects that a schema refers to."""
    if "$ref" in schema:
        return [str(schema["$ref"]).rpartition("/")[2]]
    inner = [*schema.get("anyOf", []), *schema.get("properties", {}).values()]
    inner += [schema["items"]] if "items" in schema else []
    return [
        name
        for part in inner
        for name in _names(part)
        if document()["components"]["schemas"][name].get("type") == "object"
    ]


def _problems(operation: Json) -> list[str]:
    """Return the problem types of a call, without their path."""
    names = []
    for response in map(resolved, operation["responses"].values()):
        content = response.get("content", {}).get("application/problem+json")
        if content is not None:
            for part in content["schema"].get("oneOf", [content["schema"]]):
                uri = _schema(part)["properties"]["type"]["const"]
                names.append(str(uri).partition("#")[2])
    return names


def _guard(operation: Json) -> str:
    schemes = [name for one in operation["security"] for name in one]
    words = list(dict.fromkeys(_CREDENTIALS[name] for name in schemes))
    in_body = ", in `Authorization` or in the body" if {} in operation["security"] else ""
    return ", or ".join(words) + in_body if words else "none"


def _schema(schema: Json) -> Json:
    return resolved(schema)


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _links(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}](problems.md#{name})" for name in names)


def _fragment(method: str, path: str) -> str:
    """Return the fragment that GitHub makes of the heading of a call."""
    kept = "".join(one for one in f"{method} {path}".lower() if one.isalnum() or one in " -_")
    return kept.replace(" ", "-")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, without the columns that are empty."""
    body = list(rows)
    kept = [column for column in range(len(head)) if any(row[column] for row in body)]
    lines = [head, ["---"] * len(head), *body]
    return "".join(
        "| " + " | ".join(_plain(line[column]) for column in kept) + " |\n" for line in lines
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
