"""The operations of the OpenAPI document: one for each call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from contract.calls import Call, Endpoint, Guard, HeaderField, Link, Response
from contract.forms import NoFields
from contract.openapi_problems import problems_of, status_of
from contract.openapi_schemas import SCHEMAS_PATH, Json
from contract.parameters import Parameter
from rules.errors import Problem
from transport.session_cookie import SECURE_SESSION_COOKIE

# Swagger UI sends one Authorization, that of the scheme that was authorized last.
SCHEMES_OF_GUARD: Mapping[Guard, tuple[str, ...]] = {
    Guard.ANYONE: (),
    Guard.USER: ("password", "tokenAsUserName", "token"),
    Guard.USER_OR_SESSION: ("password", "tokenAsUserName", "token", "session"),
    Guard.UNVERIFIED_USER: ("password", "tokenAsUserName", "token"),
    Guard.PASSWORD: ("password",),
    Guard.LOGIN: ("password",),
    Guard.TOKEN: ("tokenAsUserName", "token"),
    Guard.CLIENT: ("client",),
}
SCHEMES: Json = {
    "password": {
        "type": "http",
        "scheme": "basic",
        "description": "A user's email address and password, in UTF-8.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token from the login. `Authorization: Basic TOKEN` works as well.",
    },
    "tokenAsUserName": {
        "type": "http",
        "scheme": "basic",
        "description": "A token in place of the user name; the password is ignored.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SECURE_SESSION_COOKIE,
        "description": "The session of a browser that signed in at `/auth/sign-in`, read only if"
        " there is no `Authorization`. In development over plain HTTP, the name is `userauth`.",
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "The id and the secret of a registered client.",
    },
}
_EVERY_RESPONSE = ("X-Request-ID", "Cache-Control", "X-Content-Type-Options")
HEADERS: Json = {
    name: {"description": text, "required": True, "schema": {"type": "string", **schema}}
    for name, text, schema in (
        (
            "X-Request-ID",
            "The caller's own if it is 1 to 128 characters of `A-Za-z0-9._-`, otherwise a new one.",
            {"pattern": "^[A-Za-z0-9._-]{1,128}$"},
        ),
        ("Cache-Control", "Caches must not store the response.", {"const": "no-store"}),
        ("X-Content-Type-Options", "Browsers must not guess the type.", {"const": "nosniff"}),
        (
            "WWW-Authenticate",
            "Basic and Bearer; to clients Basic only, to scripts of pages Bearer only.",
            {},
        ),
        ("Retry-After", "When to try again, in seconds.", {"pattern": "^[1-9][0-9]*$"}),
    )
}


@dataclass(frozen=True, slots=True)
class Components:
    """The objects that operations refer to: schemas by type, sample errors, responses by name."""

    schemas: Mapping[Any, Json]
    samples: Mapping[type[Problem], Problem]
    responses: Json


def operation(method: str, handler: type[Endpoint], call: Call, components: Components) -> Json:
    """Return the operation of a call; add the error responses that it refers to."""
    has_body = method != "HEAD"
    problems = sorted(
        (components.samples[cls] for cls in problems_of(method, handler, call)), key=status_of
    )
    document: Json = {
        "operationId": _operation_id(method, handler),
        "tags": [tag(handler)],
        "summary": call.summary + (" (header only)" if method == "HEAD" else ""),
        "description": call.description,
        "parameters": [_query_parameter(parameter) for parameter in call.query],
        "security": _security(call.guard),
        "responses": {
            **{
                str(int(response.status)): _success(response, components, has_body=has_body)
                for response in call.responses
            },
            **{
                str(int(status)): _error(list(of_status), components, has_body=has_body)
                for status, of_status in groupby(problems, key=status_of)
            },
        },
    }
    if call.body is not NoFields:
        content = {call.body.media_type: {"schema": components.schemas[call.body]}}
        document["requestBody"] = {"required": not call.body_is_optional, "content": content}
    return {name: value for name, value in document.items() if value or name == "security"}


def tag(handler: type[Endpoint]) -> str:
    """Return the tag of a handler, which is its module's name."""
    return handler.__module__.rpartition(".")[2].replace("_", "-")


def _security(guard: Guard) -> list[Json]:
    """Return the alternatives; an empty one means that Authorization is optional."""
    schemes: list[Json] = [{scheme: []} for scheme in SCHEMES_OF_GUARD[guard]]
    return [*schemes, {}] if guard is Guard.LOGIN else schemes


def _success(response: Response, components: Components, *, has_body: bool) -> Json:
    document: Json = {
        "description": response.description,
        "headers": {**_header_references(_EVERY_RESPONSE), **dict(map(_header, response.fields))},
    }
    if response.document is not None and has_body:
        document["content"] = {
            "application/json": {"schema": components.schemas[response.document]}
        }
    if response.links and has_body:
        document["links"] = dict(map(_link, response.links))
    return document


def _error(problems: Sequence[Problem], components: Components, *, has_body: bool) -> Json:
    """Add the response for all errors of one status; return a reference to it."""
    names = [type(problem).__name__ for problem in problems]
    own = dict.fromkeys(name for problem in problems for name, _ in problem.headers)
    response: Json = {
        "description": "; or ".join(problem.title for problem in problems) + ".",
        "headers": _header_references((*_EVERY_RESPONSE, *own)),
    }
    if has_body:
        schemas = [{"$ref": SCHEMAS_PATH + name} for name in names]
        schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
        response["content"] = {"application/problem+json": {"schema": schema}}
    name = "Or".join(names) + ("" if has_body else "WithoutBody")
    components.responses[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _query_parameter(parameter: Parameter[Any]) -> Json:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": parameter.schema(),
    }


def _header_references(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header(field: HeaderField) -> tuple[str, Json]:
    schema = {"type": "string"}
    return field.name, {"description": field.description, "required": True, "schema": schema}


def _link(link: Link) -> tuple[str, Json]:
    return link.name, {"operationId": link.operation, "parameters": {link.parameter: link.value}}


def _operation_id(method: str, handler: type[Endpoint]) -> str:
    return method.lower() + handler.__name__.removesuffix("Handler")
