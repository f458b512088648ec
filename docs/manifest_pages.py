"""Write docs/manifest.schema.json and the table of fields in docs/model-file.md.

Run `python docs/manifest_pages.py`. Both are made from the table `stepcell.runtime.format.manifest_fields.MANIFEST`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepcell.runtime.format.json_fields import REQUIRED, Field, Schema
from stepcell.runtime.format.manifest_fields import MANIFEST

DOCS = Path(__file__).parent
SCHEMA_FILE, PAGE = DOCS / "manifest.schema.json", DOCS / "model-file.md"
BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->\n"
HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.org/stepcell/manifest.schema.json",
    "title": "Manifest of a stepcell model file, formats 1 to 5",
}
# What no single field can say. Readers ignore keys that are not listed.
CONDITIONS = [
    {"if": {"properties": {"format": {"const": 1}}}, "then": {"not": {"required": ["graph"]}}},
    {"if": {"properties": {"format": {"const": 2}}}, "then": {"required": ["graph"]}},
    {
        "if": {"properties": {"target": {"properties": {"kind": {"const": "label"}}}}},
        "then": {"properties": {"target": {"required": ["vocabulary"]}}},
    },
]


def schema_text() -> str:
    """Return the content of docs/manifest.schema.json."""
    schema = {**HEAD, **to_json_schema(MANIFEST), "allOf": CONDITIONS}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def to_json_schema(schema: Schema) -> dict[str, Any]:
    """Return a schema as JSON Schema has it, with "properties" and "required" in place of "fields"."""
    found = {name: value for name, value in schema.items() if name != "fields"}
    if "type" in found:
        found["type"] = found["type"][0] if len(found["type"]) == 1 else list(found["type"])
    for name in {"items", "additionalProperties"} & found.keys():
        found[name] = to_json_schema(found[name])
    if "fields" in schema:
        found["properties"] = {
            field.name: {"description": describe(field), **to_json_schema(field.schema)} for field in schema["fields"]
        }
        found["required"] = [field.name for field in schema["fields"] if field.default is REQUIRED]
    return found


def describe(field: Field) -> str:
    """Return the description of a field, with the format number that brought it."""
    return field.description if field.since == 1 else f"{field.description} Since format {field.since}."


def page_text(page: str) -> str:
    """Return docs/model-file.md, which is `page` today, with the table of fields written anew."""
    head, rest = page.split(BEGIN)
    rows = "".join(f"| `{path}` | {kind} | {needed} | {text} |\n" for path, kind, needed, text in table(MANIFEST))
    header = "| Key | Type | Must be there | Meaning |\n|---|---|---|---|\n"
    return f"{head}{BEGIN}\n{header}{rows}\n{END}{rest.split(END)[1]}"


def table(schema: Schema, path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield path, type, "yes" or "no", and description of each field, those of inner objects behind it."""
    for field in schema.get("fields", ()):
        name = path + field.name
        yield name, kind_of(field.schema), "yes" if field.default is REQUIRED else "no", describe(field)
        inner, brackets = field.schema, ""
        while "items" in inner:
            inner, brackets = inner["items"], f"{brackets}[]"
        yield from table(inner, f"{name}{brackets}.")


def kind_of(schema: Schema) -> str:
    """Return the type of a value in a few words: "list of string", "integer or null", `next` or `label`."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    inner = schema.get("items", schema.get("additionalProperties"))
    nested = f" of {kind_of(inner)}" if inner else ""
    return " or ".join(
        f"list{nested}" if each == "array" else f"object{nested}" if each == "object" else each
        for each in schema["type"]
    )


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
