"""JSON Schemas of the types in request and response bodies, for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from contract.calls import Call
from contract.documents import ProblemDocument
from contract.forms import NoFields

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaMode

Json = dict[str, Any]

SCHEMAS_PATH = "#/components/schemas/"


def body_schemas(calls: Sequence[Call]) -> tuple[Json, Mapping[Any, Json]]:
    """Return the schemas of all types that calls accept and return, and a reference to each."""
    accepted: dict[Any, JsonSchemaMode] = {call.body: "validation" for call in calls}
    del accepted[NoFields]
    returned: dict[Any, JsonSchemaMode] = {
        call.response.document: "serialization" for call in calls
    }
    del returned[None]
    types = {**accepted, **returned, ProblemDocument: "serialization"}
    references, schemas = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in types.items()],
        ref_template=SCHEMAS_PATH + "{model}",
    )
    return (
        _without_titles(schemas["$defs"]),
        {kind: _without_titles(schema) for (kind, _), schema in references.items()},
    )


def _without_titles(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema without the titles that pydantic derives from names."""
    if isinstance(schema, dict):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if name != "title" or not isinstance(value, str)
        }
    return [_without_titles(part) for part in schema] if isinstance(schema, list) else schema
