"""Parse a line of input: a symbol, or a JSON object with the symbol, its features, and the key of its stream."""

from __future__ import annotations

import json
from typing import Any

from ..common.errors import FeatureMismatchError, InputError, StepcellError, UnknownSymbolError
from ..format.manifest import Manifest
from ..format.tensor_specs import SYMBOL
from ..format.vocabulary import json_text, read_symbol

_SHOWN = 60  # characters of a line in a message


def parse_line(line: str, manifest: Manifest) -> tuple[str | None, dict[str, Any] | None]:
    r"""Return the symbol and the features of a line, as `Stream.step` takes them.

    For a model that reads symbols alone the line is a symbol (newline, tab and backslash as `\n`, `\t`, `\\`). For any
    other it is a JSON object, {"symbol": "3", "speed": [0.1, 0.2]}, or the array of the only feature.

    Raises:
        UnknownSymbolError: There is no symbol, and the model reads one.
        FeatureMismatchError: The line is no JSON object. `Stream.step` checks names and shapes.
    """
    if not manifest.features:
        return read_symbol(line, manifest.vocabulary), None
    expected = _expected(manifest, SYMBOL)
    found = _json(line, expected, FeatureMismatchError)
    if not isinstance(found, dict) and len(manifest.vocabulary) + len(manifest.features) == 1:
        found = {manifest.features[0].name: found}
    found = _object(found, line, expected, FeatureMismatchError)
    symbol = _symbol(found.pop(SYMBOL, None), line, expected) if len(manifest.vocabulary) else None
    return symbol, found


def parse_json_line(
    line: str, manifest: Manifest, symbol_field: str | None, key_field: str | None
) -> tuple[str, str | None, dict[str, Any] | None]:
    """Return the key of the stream, the symbol and the features of a JSON object; other fields are ignored.

    Numbers, true and false are keys or symbols as they are written in JSON.

    Args:
        line: A JSON object.
        manifest: Manifest of the model.
        symbol_field: The field of the symbol; None: "symbol".
        key_field: The field of the key; None: there is one stream, and its key is "".

    Raises:
        InputError: The line is no JSON object, or has no key.
        UnknownSymbolError: There is no symbol, and the model reads one.
    """
    symbol_field = symbol_field or SYMBOL
    expected = _expected(manifest, symbol_field, key_field)
    found = _object(_json(line, expected, InputError), line, expected, InputError)
    try:
        key = "" if key_field is None else json_text(found.get(key_field))
    except ValueError as error:
        raise InputError(f"{line[:_SHOWN]!r} has {error} as {key_field!r}; {expected}") from None
    if key is None:
        raise InputError(f"{line[:_SHOWN]!r} has no {key_field!r}; {expected}")
    features = {feature.name: found[feature.name] for feature in manifest.features if feature.name in found}
    symbol = _symbol(found.get(symbol_field), line, expected) if len(manifest.vocabulary) else None
    return key, symbol, features or None


def _json(line: str, expected: str, kind: type[StepcellError]) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise kind(f"{line[:_SHOWN]!r} is not JSON ({error}); {expected}") from None


def _object(found: Any, line: str, expected: str, kind: type[StepcellError]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise kind(f"{line[:_SHOWN]!r} is not a JSON object; {expected}")
    return found


def _symbol(value: Any, line: str, expected: str) -> str:
    try:
        symbol = json_text(value)
    except ValueError as error:
        raise UnknownSymbolError(f"{line[:_SHOWN]!r} has {error} as its symbol; {expected}") from None
    if symbol is None:
        raise UnknownSymbolError(f"{line[:_SHOWN]!r} has no symbol; {expected}")
    return symbol


def _expected(manifest: Manifest, symbol_field: str, key_field: str | None = None) -> str:
    """Return the expected fields, for a message."""
    names = [key_field, symbol_field if len(manifest.vocabulary) else None]
    names += [feature.name for feature in manifest.features]
    fields = ", ".join(f'"{name}": ...' for name in names if name is not None)
    return f"expected is {{{fields}}}."
