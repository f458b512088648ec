"""Tables of JSON fields: check a JSON value against one, read it, and write one from a Python object.

A schema is a JSON Schema of a few keywords (`type`, always a tuple, `enum`, `minimum` with `maximum`, `minItems`,
`items`, `additionalProperties`), except that an object with known keys lists them as `Field`s under "fields".
Keys that no field names are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]
REQUIRED: Any = object()  # the default of a key that must be there
# JSON type -> Python types and words. Numbers must be finite: JSON knows no others, Python reads NaN and Infinity.
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "boolean": ((bool,), "true or false"),
    "integer": ((int,), "an integer"),
    "number": ((int, float), "a finite number"),
    "array": ((list,), "a list"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}
_LONGEST_SHOWN = 60  # characters of a wrong value in a message


@dataclass(frozen=True)
class Field:
    """One key of a JSON object.

    Attributes:
        name: The key.
        schema: The schema of its value.
        description: Its meaning, a sentence.
        default: The value if the key is missing, as `parse` returns it; `REQUIRED` if it may not be missing.
        since: The first format number that has it.
        value: Python object -> value of the key; None: its attribute (or, of a mapping, its entry) of the same name.
            A value that is the default is not written, unless the schema allows null.
    """

    name: str
    schema: Schema
    description: str
    default: Any = REQUIRED
    since: int = 1
    value: Callable[[Any], Any] | None = None

    def of(self, source: Any) -> Any:
        """Return the value of this key for the Python object `source`."""
        if self.value is not None:
            return self.value(source)
        return source[self.name] if isinstance(source, Mapping) else getattr(source, self.name)


def object_of(*fields: Field, nullable: bool = False) -> Schema:
    """Return the schema of an object with `fields`."""
    return {"type": ("object", "null") if nullable else ("object",), "fields": fields}


def array_of(items: Schema, least: int = 0) -> Schema:
    """Return the schema of a list of `least` elements or more."""
    return {"type": ("array",), "items": items, **({"minItems": least} if least else {})}


def describe_schema(schema: Schema) -> str:
    """Return in words what a schema allows: "an integer from 1 to 9", "a string or null", "'a' or 'b'"."""
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    words = " or ".join(_TYPES[name][1] for name in schema["type"])
    if schema["type"] == ("integer",):
        return f"{words} from {schema['minimum']:,} to {schema['maximum']:,}"
    return f"{words} of {schema['minItems']} or more" if "minItems" in schema else words


def problems_of(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Name everything in a JSON value that its schema does not allow; `path` is its name in the messages."""
    if not _allows(schema, value):
        yield f"{path} is {_shown(value)}, not {describe_schema(schema)}"
    elif isinstance(value, list):
        yield from _problems_of_items(value, schema["items"], path)
    elif isinstance(value, dict):
        for field in schema.get("fields", ()):
            yield from field_problems(value, field, f"{path}.{field.name}")
        for key, each in value.items() if "additionalProperties" in schema else ():
            yield from problems_of(each, schema["additionalProperties"], f"{path}[{key!r}]")


def field_problems(entry: Mapping[str, Any], field: Field, path: str) -> Iterator[str]:
    """Name everything that is wrong with one key of a JSON object."""
    if field.name in entry:
        yield from problems_of(entry[field.name], field.schema, path)
    elif field.default is REQUIRED:
        yield f"{path} is missing"


def parse(value: Any, schema: Schema) -> Any:
    """Return a JSON value without problems as Python has it.

    Lists become tuples, numbers floats. An object becomes a dictionary of its fields alone, each with its default if
    it is missing.
    """
    if isinstance(value, list):
        items = schema["items"]
        if items.get("type") == ("number",):  # faster, as is the next line
            return tuple(map(float, value))
        return tuple(value) if _is_plain(items) else tuple(parse(each, items) for each in value)
    if isinstance(value, dict) and "fields" in schema:
        return {
            field.name: parse(value[field.name], field.schema) if field.name in value else field.default
            for field in schema["fields"]
        }
    if isinstance(value, dict) and "additionalProperties" in schema:
        return {key: parse(each, schema["additionalProperties"]) for key, each in value.items()}
    return float(value) if type(value) is int and "number" in schema.get("type", ()) else value


def write(value: Any, schema: Schema) -> Any:
    """Return a Python object as the JSON value that `schema` describes."""
    if isinstance(value, (tuple, list)):
        return [write(each, schema["items"]) for each in value]
    if value is not None and "fields" in schema:
        found = [(field, field.of(value)) for field in schema["fields"]]
        return {
            field.name: write(each, field.schema)
            for field, each in found
            if each != field.default or "null" in field.schema.get("type", ())
        }
    if isinstance(value, Mapping):
        items = schema.get("additionalProperties")
        return {key: write(each, items) if items else each for key, each in value.items()}
    return value


def _is_plain(schema: Schema) -> bool:
    """Tell whether values are single and need neither a look inside nor a conversion."""
    return schema.get("type") in (("string",), ("integer",), ("number",))


def _allows(schema: Schema, value: Any) -> bool:
    """Tell whether a value is right as far as it goes without looking into it."""
    if "enum" in schema:
        return type(value) in (str, int) and value in schema["enum"]
    if not any(type(value) in _TYPES[name][0] for name in schema["type"]):
        return False
    if type(value) in (int, float):
        return bool(schema["minimum"] <= value <= schema["maximum"])  # false for NaN
    return not isinstance(value, list) or len(value) >= schema.get("minItems", 0)


def _allows_all(schema: Schema, values: list[Any]) -> bool:
    """Tell whether many plain values are right, without a call for each: there may be millions."""
    types, _ = _TYPES[schema["type"][0]]
    least, most = schema.get("minimum"), schema.get("maximum")
    return set(types).issuperset(map(type, values)) and (
        least is None or all(least <= value <= most for value in values)
    )


def _problems_of_items(items: list[Any], schema: Schema, path: str) -> Iterator[str]:
    """Name all problems of objects, and of other elements the first and how many there are: there may be millions."""
    if "fields" in schema:
        for index, each in enumerate(items):
            yield from problems_of(each, schema, f"{path}[{index}]")
        return
    if _is_plain(schema) and _allows_all(schema, items):
        return
    wrong = [
        index
        for index, each in enumerate(items)
        if not _allows(schema, each) or (isinstance(each, (list, dict)) and any(problems_of(each, schema, "")))
    ]
    if wrong:
        first = next(problems_of(items[wrong[0]], schema, f"{path}[{wrong[0]}]"))
        yield first + (f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else "")


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "empty" if not value else _TYPES["array" if isinstance(value, list) else "object"][1]
    shown = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()  # half surrogate pairs
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
