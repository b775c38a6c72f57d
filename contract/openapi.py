"""The OpenAPI document, made of the tables and types that handlers go by.

What a path takes and answers stands in ``calls`` of its handler, what a body holds in its form,
what an answer holds in contract.documents, what can be refused in rules.errors. Here is only how
that is put for readers, and what each guard may refuse.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from contract.calls import Answer, Call, Endpoint, Guard, HeaderField, Link
from contract.documents import ProblemDocument, problem_document
from contract.forms import NoFields
from contract.parameters import Parameter
from rules.errors import (
    AccountDisabled,
    ContentTooLarge,
    CredentialsInvalid,
    CredentialsMissing,
    CrossSiteRequest,
    DatabaseUnavailable,
    FieldError,
    HttpsRequired,
    InternalError,
    InvalidFields,
    MalformedRequest,
    Overloaded,
    Problem,
    TokenExpired,
    TokenInvalid,
    TooManyAttempts,
    TooManyHeaderFields,
    TooManyWrites,
    UnsupportedMediaType,
    problem_types,
)
from transport.head import MOST_FIELDS

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaMode

Json = dict[str, Any]
Routes = Sequence[tuple[str, type[Endpoint]]]

_ID = "([^/]+)"
_SCHEMAS = "#/components/schemas/"
_SAMPLE_REQUEST_ID = "3f6c0d0f9d9b4c0f8f6f0a1b2c3d4e5f"

# Any call may be sent a body, which is looked at before it is known that it should have none.
_REFUSED_ANYWHERE = (
    MalformedRequest,
    ContentTooLarge,
    UnsupportedMediaType,
    InvalidFields,
    TooManyHeaderFields,
    InternalError,
)
_REFUSED_BY: Mapping[Guard, tuple[type[Problem], ...]] = {
    Guard.ANYONE: (),
    Guard.USER: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        TokenExpired,
        AccountDisabled,
        TooManyAttempts,
        DatabaseUnavailable,
        Overloaded,
    ),
    Guard.PASSWORD: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        AccountDisabled,
        TooManyAttempts,
        DatabaseUnavailable,
        Overloaded,
    ),
    Guard.TOKEN: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        TokenExpired,
        DatabaseUnavailable,
    ),
    Guard.CLIENT: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        TooManyAttempts,
        DatabaseUnavailable,
    ),
}
# The last one that was authorized counts in Swagger UI, which sends one Authorization.
_SCHEMES_OF: Mapping[Guard, tuple[str, ...]] = {
    Guard.ANYONE: (),
    Guard.USER: ("password", "tokenAsUserName", "token"),
    Guard.PASSWORD: ("password",),
    Guard.TOKEN: ("tokenAsUserName", "token"),
    Guard.CLIENT: ("client",),
}
_SCHEMES: Json = {
    "password": {
        "type": "http",
        "scheme": "basic",
        "description": "A user's e-mail address and password, in UTF-8.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token got by logging in. `Authorization: Basic TOKEN` works as well.",
    },
    "tokenAsUserName": {
        "type": "http",
        "scheme": "basic",
        "description": "A token in place of the user name; the password is not looked at.",
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "The id and the secret of a service.",
    },
}
_EVERY_ANSWER = ("X-Request-ID", "Cache-Control", "X-Content-Type-Options")
_HEADERS: Json = {
    name: {"description": text, "required": True, "schema": {"type": "string", **schema}}
    for name, text, schema in (
        (
            "X-Request-ID",
            "The client's own, if that is 1 to 128 of `A-Za-z0-9._-`; or a new one.",
            {"pattern": "^[A-Za-z0-9._-]{1,128}$"},
        ),
        ("Cache-Control", "No answer may be stored.", {"const": "no-store"}),
        ("X-Content-Type-Options", "The type is what it says.", {"const": "nosniff"}),
        (
            "WWW-Authenticate",
            "Basic and Bearer, which says that a token was refused; to a browser Bearer alone.",
            {},
        ),
        ("Retry-After", "When to try again, in seconds.", {"pattern": "^[1-9][0-9]*$"}),
    )
}
# The forms that take the current password, and where it is asked for.
_CONFIRMED = {"UserChanges": "beside `password`, where", "Confirmation": "where"}
_DESCRIPTION = """\
People register, log in, and use a signed token until it expires or is ended.

Bodies are JSON in UTF-8, and are taken as they are: an unknown field or a value of another type is
refused. Every refusal is a problem document (RFC 9457), whose `type` leads to what it means.

`HEAD` answers as `GET` does, without the body. Beside what stands here, an unknown path is 404; a
method that a path does not take is 405 with `Allow`; `OPTIONS` answers 204 with `Allow`, without
credentials.
"""


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """What the settings say that readers of the document should know."""

    min_password_length: int
    refuse_common_passwords: bool
    current_password_required: bool
    max_body_bytes: int


def openapi_document(routes: Routes, terms: DocumentOptions, *, version: str) -> Json:
    """Return the OpenAPI 3.1 document of some routes."""
    samples = _samples(terms)
    calls = [
        (_template(path), method, handler, call)
        for path, handler in routes
        for method, call in handler.calls.items()
    ]
    schemas, names = _schemas([call for *_, call in calls])
    _add_terms(schemas, terms)
    components = _Components(names, samples, {})
    paths: Json = {}
    for path, method, handler, call in calls:
        item = paths.setdefault(path, _path_item(path))
        item[method.lower()] = _operation(method, handler, call, components)
    used = dict.fromkeys(
        cls for _, method, handler, call in calls for cls in _refusals(method, handler, call)
    )
    schemas |= {cls.__name__: _problem_schema(samples[cls]) for cls in used}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "userauth",
            "version": version,
            "summary": "A user-authentication server.",
            "description": _DESCRIPTION,
        },
        "tags": _tags(handler for _, handler in routes),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": dict(sorted(components.refusals.items())),
            "headers": _HEADERS,
            "securitySchemes": _SCHEMES,
        },
    }


def encode(document: Json) -> bytes:
    """Return a document as it is served."""
    return to_json(document) + b"\n"


@dataclass(frozen=True, slots=True)
class _Components:
    """What answers refer to: schemas by type, a sample of each problem, refusals by name."""

    schemas: Mapping[Any, Json]
    samples: Mapping[type[Problem], Problem]
    refusals: Json


def _operation(method: str, handler: type[Endpoint], call: Call, components: _Components) -> Json:
    refusals = sorted(
        (components.samples[cls] for cls in _refusals(method, handler, call)), key=_status
    )
    operation: Json = {
        "operationId": _operation_id(method, handler),
        "tags": [_tag(handler)],
        "summary": call.summary,
        "description": call.text,
        "parameters": [_query_parameter(parameter) for parameter in call.query],
        "security": [{scheme: []} for scheme in _SCHEMES_OF[call.guard]],
        "responses": {
            str(int(call.answer.status)): _success(
                call.answer, components, has_body=method != "HEAD"
            ),
            **{
                str(status): _refused(list(problems), components, has_body=method != "HEAD")
                for status, problems in groupby(refusals, key=_status)
            },
        },
    }
    if call.body is not NoFields:
        content = {call.body.media_type: {"schema": components.schemas[call.body]}}
        operation["requestBody"] = {"required": not call.body_is_optional, "content": content}
    return {name: value for name, value in operation.items() if value or name == "security"}


def _success(answer: Answer, components: _Components, *, has_body: bool) -> Json:
    response: Json = {
        "description": answer.text,
        "headers": {**_headers(_EVERY_ANSWER), **dict(map(_header, answer.fields))},
    }
    if answer.document is not None and has_body:
        response["content"] = {"application/json": {"schema": components.schemas[answer.document]}}
    if answer.links and has_body:
        response["links"] = dict(map(_link, answer.links))
    return response


def _refused(problems: Sequence[Problem], components: _Components, *, has_body: bool) -> Json:
    """Return a reference to the response that stands for all problems of a status."""
    names = [type(problem).__name__ for problem in problems]
    own = dict.fromkeys(name for problem in problems for name, _ in problem.headers)
    response: Json = {
        "description": "; or ".join(problem.title for problem in problems) + ".",
        "headers": _headers((*_EVERY_ANSWER, *own)),
    }
    if has_body:
        schemas = [{"$ref": _SCHEMAS + name} for name in names]
        schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
        response["content"] = {"application/problem+json": {"schema": schema}}
    name = "Or".join(names) + ("" if has_body else "WithoutBody")
    components.refusals[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _refusals(method: str, handler: type[Endpoint], call: Call) -> Iterable[type[Problem]]:
    """Return what a call may be refused with, always in the same order."""
    plain = () if handler.is_open_to_plain_http else (HttpsRequired,)
    cross = (CrossSiteRequest,) if call.is_guarded_from_other_sites(method) else ()
    return dict.fromkeys(
        (*_REFUSED_ANYWHERE, *plain, *cross, *_REFUSED_BY[call.guard], *call.refusals)
    )


def _samples(terms: DocumentOptions) -> dict[type[Problem], Problem]:
    """Return one of each problem that a call may answer with."""
    with_arguments: tuple[Problem, ...] = (
        ContentTooLarge(terms.max_body_bytes),
        UnsupportedMediaType("application/json"),
        InvalidFields([FieldError("email", "is required")]),
        TooManyHeaderFields(MOST_FIELDS),
        TooManyAttempts(1),
        TooManyWrites(1),
        Overloaded(1),
    )
    others = (cls() for cls in problem_types() if _is_complete(cls))
    return {type(problem): problem for problem in (*others, *with_arguments)}


def _is_complete(cls: type[Problem]) -> bool:
    """Tell whether a problem can be made without an argument."""
    parameters = inspect.signature(cls).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def _problem_schema(sample: Problem) -> Json:
    """Return what is the same in all documents of a problem type."""
    same = {"type": sample.type_uri(), "title": sample.title, "status": sample.status}
    document = problem_document(sample, _SAMPLE_REQUEST_ID)
    return {
        "allOf": [{"$ref": _SCHEMAS + ProblemDocument.__name__}],
        "properties": {name: {"const": value} for name, value in same.items()},
        "required": list(document),
        "examples": [document],
    }


def _schemas(calls: Sequence[Call]) -> tuple[Json, Mapping[Any, Json]]:
    """Return the schemas of all that calls take and answer, and how to refer to each."""
    taken: dict[Any, JsonSchemaMode] = {call.body: "validation" for call in calls}
    del taken[NoFields]
    answered: dict[Any, JsonSchemaMode] = {call.answer.document: "serialization" for call in calls}
    del answered[None]
    types = {**taken, **answered, ProblemDocument: "serialization"}
    references, schemas = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in types.items()],
        ref_template=_SCHEMAS + "{model}",
    )
    return (
        _without_titles(schemas["$defs"]),
        {kind: _without_titles(schema) for (kind, _), schema in references.items()},
    )


def _without_titles(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema without the titles that pydantic makes of names."""
    if isinstance(schema, dict):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if name != "title" or not isinstance(value, str)
        }
    return [_without_titles(part) for part in schema] if isinstance(schema, list) else schema


def _add_terms(schemas: Json, terms: DocumentOptions) -> None:
    """Write what the settings say into the schemas of fields."""
    password = schemas["NewPassword"]
    password["minLength"] = terms.min_password_length
    if terms.refuse_common_passwords:
        password["description"] += (
            " A common password, or one made of the user's own e-mail address or name, or of the"
            " name of this service, is refused."
        )
    if terms.current_password_required:
        # No schema can tell which credentials the request presents.
        for form, where in _CONFIRMED.items():
            schemas[form]["properties"]["current_password"]["description"] = (
                f"Required {where} the request presents a token."
            )


def _path_item(path: str) -> Json:
    if "{id}" not in path:
        return {}
    schema = {"type": "string", "format": "uuid"}
    return {"parameters": [{"name": "id", "in": "path", "required": True, "schema": schema}]}


def _query_parameter(parameter: Parameter[Any]) -> Json:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.text,
        "schema": parameter.schema(),
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header(field: HeaderField) -> tuple[str, Json]:
    schema = {"type": "string"}
    return field.name, {"description": field.text, "required": True, "schema": schema}


def _link(link: Link) -> tuple[str, Json]:
    return link.name, {"operationId": link.operation, "parameters": {link.parameter: link.value}}


def _template(pattern: str) -> str:
    """Return the path template of a route: each group in it stands for an id."""
    path = pattern.replace(_ID, "{id}")
    if not re.fullmatch(r"(/([a-z-]+|\{id\}))+", path):
        raise ValueError(f"This route cannot be told as a path template: {pattern}")
    return path


def _operation_id(method: str, handler: type[Endpoint]) -> str:
    return method.lower() + handler.__name__.removesuffix("Handler")


def _tag(handler: type[Endpoint]) -> str:
    return handler.__module__.rpartition(".")[2]


def _tags(handlers: Iterable[type[Endpoint]]) -> list[Json]:
    """Return the modules of handlers as tags: there is one for each noun."""
    modules = dict.fromkeys(handler.__module__ for handler in handlers)
    return [
        {
            "name": module.rpartition(".")[2],
            "description": (sys.modules[module].__doc__ or "").partition(": ")[2],
        }
        for module in modules
    ]


def _status(problem: Problem) -> HTTPStatus:
    return HTTPStatus(problem.status)
