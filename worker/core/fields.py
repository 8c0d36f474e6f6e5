"""The fields of an event's payload, as its model's JSON Schema tells them. Pure; knows nothing of texts and media."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from schemas.catalogue import EventInfo

Kind = Literal["text", "url", "email", "moment", "amount", "count", "number", "truth", "choice", "list", "object"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a payload. `choices`: the only values it takes, where there is such a list; `items`: a list's."""

    name: str
    kind: Kind
    is_optional: bool
    choices: tuple[JsonValue, ...] = ()
    longest: int | None = None
    items: Kind | None = None
    has_pattern: bool = False


def fields_of(info: EventInfo) -> tuple[Field, ...]:
    """Answer the payload's fields, in their order."""
    schema = info.model.model_json_schema()
    required = schema.get("required", ())
    definitions = schema.get("$defs", {})
    return tuple(
        _field(name, part, definitions, is_required=name in required)
        for name, part in schema.get("properties", {}).items()
    )


def _field(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], *, is_required: bool) -> Field:
    branches = [_resolved(branch, definitions) for branch in schema.get("anyOf", [schema])]
    kinds = [_kind(branch) for branch in branches if branch.get("type") != "null"]
    shape = next((branch for branch in branches if branch.get("type") != "null"), {})
    items = _resolved(shape.get("items", {}), definitions)
    return Field(
        name,
        "amount" if set(kinds) == {"number", "text"} else kinds[0] if kinds else "object",
        is_optional=not is_required or len(kinds) < len(branches),
        choices=tuple(shape.get("enum", [shape["const"]] if "const" in shape else ())),
        longest=shape.get("maxLength"),
        items=_kind(items) if shape.get("type") == "array" else None,
        has_pattern="pattern" in shape or "pattern" in items,
    )


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = definitions.get(reference.rpartition("/")[2], {}) if reference else schema
    return found


def _kind(schema: Mapping[str, Any]) -> Kind:
    if "enum" in schema or "const" in schema:
        return "choice"
    formats: dict[str, Kind] = {"uri": "url", "date-time": "moment", "email": "email"}
    types: dict[str, Kind] = {
        "string": "text",
        "integer": "count",
        "number": "number",
        "boolean": "truth",
        "array": "list",
    }
    return formats.get(schema.get("format", "")) or types.get(schema.get("type", ""), "object")
