"""The OpenAPI document: it is valid, complete, and describes nothing else.

tests.harness.openapi checks each response in tests against it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, product
from typing import Any, ClassVar

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from typing_extensions import TypedDict

from contract.calls import Call, Endpoint, Response
from contract.openapi import DocumentOptions, openapi_document
from handlers import routes
from handlers.static_documents import OPENAPI_PATH
from rules import names
from rules.errors import Problem, problem_types
from tests.harness.api import PASSWORD
from tests.harness.configuration import ROOT, settings_with
from tests.harness.openapi import document, resolved, validator
from wiring.documents import static_documents

STRICT = DocumentOptions(
    min_password_length=12,
    refuse_common_passwords=True,
    current_password_required=True,
    max_body_bytes=2048,
    public_url="https://auth.example.com",
)
OPERATIONS = [
    (method, path, operation)
    for path, item in document()["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
]
# Calls that need no credentials.
OPEN = {
    "/api/user/register",
    "/api/user/password/reset",
    "/api/user/password/reset/confirm",
    "/api/user/email/undo",
    "/health/live",
    "/health/ready",
}
IDS = [f"{method}-{path}" for method, path, _ in OPERATIONS]


def parts(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from parts(inner)


@pytest.mark.parametrize(
    "generated", [document(), openapi_document(routes, STRICT, version="1.2.3")]
)
def test_the_document_is_valid(generated: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(generated).validate()


def test_every_route_and_method_is_in_the_document_and_no_other() -> None:
    documented = {(method.upper(), path) for method, path, _ in OPERATIONS}
    assert documented == {
        (method, path.replace("([^/]+)", "{id}"))
        for path, handler in routes
        for method in handler.calls
    }


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_an_operation_has_a_summary_and_its_credentials(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert operation["operationId"].startswith(method)
    is_open = path in OPEN
    assert (operation["security"] == []) == is_open
    # Only there, credentials may be in the body instead.
    assert ({} in operation["security"]) == ((method, path) == ("post", "/api/user/login"))
    assert ("401" in operation["responses"]) != is_open


def test_each_operation_has_a_summary_of_its_own() -> None:
    summaries = [operation["summary"] for *_, operation in OPERATIONS]
    assert len(set(summaries)) == len(summaries)


def test_generated_clients_find_the_address_of_the_server() -> None:
    assert [server["url"] for server in document()["servers"]] == ["/"]
    settings = settings_with(SERVER__PUBLIC_URL="https://auth.example.com")
    content = json.loads(static_documents(settings)[OPENAPI_PATH].content)
    assert [each["url"] for each in content["servers"]] == ["https://auth.example.com", "/"]


def test_operation_ids_are_unique_and_links_refer_to_them() -> None:
    names_of_operations = [operation["operationId"] for *_, operation in OPERATIONS]
    assert len(set(names_of_operations)) == len(names_of_operations)
    links = [link for part in parts(document()) for link in part.get("links", {}).values()]
    assert {link["operationId"] for link in links} <= {*names_of_operations}
    assert links


def test_every_problem_type_of_a_call_is_in_the_document() -> None:
    documented = {
        schema["properties"]["type"]["const"]
        for schema in document()["components"]["schemas"].values()
        if "allOf" in schema
    }
    undocumented = {"method-not-allowed"}  # the error of a method that is not an operation
    expected = {cls.type_uri() for cls in problem_types() if cls.name not in undocumented}
    assert documented == expected


def test_a_type_that_only_an_alternative_returns_is_in_the_document() -> None:
    class Rare(TypedDict):
        rare: bool

    class Handler(Endpoint):
        calls: ClassVar = {
            "GET": Call(
                summary="Rare",
                description="Rare.",
                response=Response("Usual.", alternative=Response("Rare.", Rare, status=202)),
            )
        }

    made = openapi_document([*routes, ("/rare", Handler)], STRICT, version="1.2.3")
    content = made["paths"]["/rare"]["get"]["responses"]["202"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Rare"}
    assert made["components"]["schemas"]["Rare"]["required"] == ["rare"]


def test_no_component_is_unused() -> None:
    text = json.dumps(document())
    for kind in ("schemas", "responses", "headers"):
        for name in document()["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name


@pytest.mark.parametrize("problem", list(problem_types()), ids=lambda problem: problem.name)
def test_the_header_fields_of_a_status_are_in_the_document(problem: type[Problem]) -> None:
    own = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
    for _, _, operation in OPERATIONS:
        response = operation["responses"].get(str(problem.status))
        if response is not None and problem.status >= 400:
            common = {"X-Request-ID", "Cache-Control", "X-Content-Type-Options"}
            assert {*resolved(response)["headers"]} == {*common, *own.get(problem.status, [])}


def test_examples_conform_to_their_schemas() -> None:
    found = 0
    for name, schema in document()["components"]["schemas"].items():
        for example in schema.get("examples", []):
            found += 1
            validator(json.dumps({"$ref": f"#/components/schemas/{name}"})).validate(example)
    assert found > 15


def test_settings_that_affect_callers_are_in_the_document() -> None:
    schemas = openapi_document(routes, STRICT, version="1.2.3")["components"]["schemas"]
    assert schemas["NewPassword"]["minLength"] == 12
    assert "common password" in schemas["NewPassword"]["description"]
    assert "Required" in described(schemas["UserChanges"])
    assert "Required" in described(schemas["Confirmation"])
    assert "2048 bytes" in schemas["ContentTooLarge"]["examples"][0]["detail"]
    lenient = document()["components"]["schemas"]
    assert lenient["NewPassword"]["minLength"] == 8
    assert "common password" not in lenient["NewPassword"]["description"]
    assert not described(lenient["UserChanges"]) + described(lenient["Confirmation"])


def described(form: Mapping[str, Any]) -> str:
    """Return the description of the current password in a form."""
    return str(form["properties"]["current_password"].get("description", ""))


def test_the_body_of_a_deletion_is_optional() -> None:
    paths = document()["paths"]
    for path in ("/api/user", "/api/user/tokens", "/api/user/tokens/{id}"):
        assert paths[path]["delete"]["requestBody"]["required"] is False
    assert paths["/api/user"]["patch"]["requestBody"]["required"] is True


def test_two_processes_generate_the_same_document() -> None:
    """Its entity tag must match on all processes behind a proxy."""
    program = (
        "from tests.harness.configuration import settings_with;"
        "from wiring.documents import static_documents;"
        "print(static_documents(settings_with())['/openapi.json'].entity_tag)"
    )
    tags = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(tags) == 1


SPACES = "".join(character for character in map(chr, range(0x3001)) if character.isspace())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        SPACES,
        "S",
        "Susan Miller",
        f"{SPACES}Susan\t",
        f"{SPACES}x{SPACES}",
        "x" * 200,
        "x" * 201,
        f" {'x' * 200} ",
        "😀" * 200,
        "😀" * 201,
        *(f"a{chr(code)}b" for code in (0, 9, 10, 0x1F, 0x20, 0x7F, 0x85, 0x9F, 0xA0, 0x2028)),
        *("\u3164", "\u2800 \u3164", "\u2800a", "a\u2800", " \ufe0f ", "\u200d", "👩\u200d💻"),
        *("\u200da", "a\u200d", "a \u200db", "a\u200d b", "a\u200c\u200db", "\u3164\u200d\u3164"),
        *(f"{chr(code)}a" for code in (0, 7, 0x1C, 0x7F, 0x80, 0x85, 0x9F, 0x2029, 0x200B)),
    ],
    ids=ascii,
)
def test_the_pattern_of_names_matches_the_rule(text: str) -> None:
    by_schema = validator(json.dumps({"$ref": "#/components/schemas/Name"})).is_valid(text)
    try:
        names.normalize_name(text)
    except ValueError:
        assert not by_schema
    else:
        assert by_schema


def test_no_body_combines_fields_with_alternatives_that_generators_drop() -> None:
    schemas = document()["components"]["schemas"]
    assert not [
        name
        for name, schema in schemas.items()
        if "properties" in schema and schema.keys() & {"anyOf", "oneOf"}
    ]


def test_no_field_has_null_as_its_default() -> None:
    fields = [field for part in parts(document()) for field in part.get("properties", {}).values()]
    assert len(fields) > 50
    assert not [field for field in fields if "default" in field and field["default"] is None]


def test_no_pattern_contains_a_character_beyond_the_bmp() -> None:
    patterns = [part["pattern"] for part in parts(document()) if "pattern" in part]
    assert len(patterns) > 3
    assert all(ord(char) <= 0xFFFF for pattern in patterns for char in pattern)


@pytest.mark.parametrize("given", [*product([False, True], repeat=3)])
def test_the_schema_of_changes_requires_a_name_or_a_password(given: tuple[bool, ...]) -> None:
    values = {"name": "Susan", "password": PASSWORD, "current_password": PASSWORD}
    body = {name: values[name] for name, is_given in zip(values, given, strict=True) if is_given}
    schema = validator(json.dumps({"$ref": "#/components/schemas/UserChanges"}))
    assert schema.is_valid(body) == bool(body.keys() & {"name", "password"})


def test_the_pattern_of_names_covers_each_bmp_character_that_the_rule_rejects_or_trims() -> None:
    pattern = re.compile(document()["components"]["schemas"]["Name"]["pattern"])
    for code in chain(range(0xD800), range(0xE000, 0x10000)):
        for text in (f"a{chr(code)}b", chr(code)):
            try:
                names.normalize_name(text)
            except ValueError:
                assert not pattern.search(text), ascii(text)
            else:
                assert pattern.search(text), ascii(text)
