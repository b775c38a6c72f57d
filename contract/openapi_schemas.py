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
        response.document: "serialization" for call in calls for response in call.responses
    }
    del returned[None]
    types = {**accepted, **returned, ProblemDocument: "serialization"}
    references, schemas = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in types.items()],
        ref_template=SCHEMAS_PATH + "{model}",
    )
    return (
        _cleaned(schemas["$defs"]),
        {kind: _cleaned(schema) for (kind, _), schema in references.items()},
    )


def _cleaned(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema without additions of pydantic: titles made from names, and null defaults.

    Such a default is wrong for changes, where an absent name differs from null, and generators of
    TypeScript code make a field with a default required.
    """
    if isinstance(schema, dict):
        return {
            name: _cleaned(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str))
            and not (name == "default" and value is None)
        }
    return [_cleaned(part) for part in schema] if isinstance(schema, list) else schema
