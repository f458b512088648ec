"""Parse a line of input: a symbol, or a JSON object with the symbol, its features, and the key of its stream."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from ..common.errors import InputError
from ..format.manifest import Manifest
from ..format.tensor_specs import SYMBOL
from ..format.vocabulary import json_text, read_symbol

_SHOWN = 60  # characters of a line in a message
STARTS, END = ("start", "reset"), "end"  # fields of the bounds of a sequence; both of the first say the same
_BOUNDS = (*STARTS, END)
_ALMOST_TRUE = ("1", "1.0", "true", "yes", "on")
_NO_FIELDS: Mapping[str, Any] = {}


class Event(NamedTuple):
    """The content of a line.

    Attributes:
        symbol: Its symbol; None: the model reads none, or the line only starts or ends a sequence.
        features: Features that the model reads beside it, as `Stream.step` takes them.
        key: The key of its stream; "": there is one stream.
        start: Whether a sequence starts: the stream is reset before.
        is_event: Whether there is something to step; else the line only resets its stream.
        time: Its time, in nanoseconds or in the unit of its column; None: not known.
        fields: Other fields of the line, for the answer.
        static: Static inputs of the model, for the stream of the line.
        right: Cells of the columns that residuals are about, in their order.
        end: Whether the sequence ends: the stream is reset after.
    """

    symbol: str | None
    features: Mapping[str, Any] | None = None
    key: str = ""
    start: bool = False
    is_event: bool = True
    time: int | float | None = None
    fields: Mapping[str, Any] = _NO_FIELDS
    static: Mapping[str, Any] = _NO_FIELDS
    right: Sequence[Any] = ()
    end: bool = False


def parse_line(line: str, manifest: Manifest, right: Sequence[str] = ()) -> Event:
    r"""Return the event of a line without a key.

    For a model that reads symbols alone the line is a symbol (newline, tab and backslash as `\n`, `\t`, `\\`). For any
    other it is a JSON object, {"symbol": "3", "speed": [0.1, 0.2]}, or the array of the only feature; or
    {"start": true} or {"end": true}, alone or with the others. `right` names further fields, of the values that
    residuals are about.

    Raises:
        InputError: The line is no JSON object, or lacks its symbol. `Stream.step` checks the features.
    """
    if not manifest.features:
        return Event(read_symbol(line, manifest.vocabulary))
    expected = _expected(manifest, SYMBOL)
    found = read_json(line, expected)
    if not isinstance(found, dict) and len(manifest.vocabulary) + len(manifest.features) == 1:
        found = {manifest.features[0].name: found}
    found = _object(found, line, expected)
    names = {feature.name for feature in manifest.features}
    start, end = take_bounds(found, names)
    values = tuple(found.get(name) if name in names else found.pop(name, None) for name in right)
    static = {tensor.name: found.pop(tensor.name) for tensor in manifest.static if tensor.name in found}
    if (start or end) and not found:
        return Event(None, start=start, end=end, is_event=False, static=static)
    symbol = _symbol(found.pop(SYMBOL, None), line, expected) if len(manifest.vocabulary) else None
    return Event(symbol, found, start=start, end=end, static=static, right=values)


def parse_json_line(
    line: str, manifest: Manifest, symbol_field: str | None, key_field: str | None, right: Sequence[str] = ()
) -> Event:
    """Return the event of a JSON object, with its static inputs; fields that are not named are ignored.

    Numbers, true and false are keys or symbols as they are written in JSON.

    Args:
        line: A JSON object.
        manifest: Manifest of the model.
        symbol_field: The field of the symbol; None: "symbol".
        key_field: The field of the key; None: there is one stream, and its key is "".
        right: Fields of the values that residuals are about.

    Raises:
        InputError: The line is no JSON object, or lacks its key or its symbol.
    """
    symbol_field = symbol_field or SYMBOL
    expected = _expected(manifest, symbol_field, key_field)
    found = _object(read_json(line, expected), line, expected)
    key = key_of(found, key_field, line, expected)
    names = {feature.name for feature in manifest.features}
    start, end = take_bounds(found, {*names, symbol_field, key_field})
    features = {feature.name: found[feature.name] for feature in manifest.features if feature.name in found}
    static = {tensor.name: found[tensor.name] for tensor in manifest.static if tensor.name in found}
    if (start or end) and not features and symbol_field not in found:
        return Event(None, key=key, start=start, end=end, is_event=False, static=static)
    symbol = _symbol(found.get(symbol_field), line, expected) if len(manifest.vocabulary) else None
    values = tuple(found.get(name) for name in right)
    return Event(symbol, features or None, key, start, static=static, right=values, end=end)


def read_json(line: str, expected: str) -> Any:
    """Return the value of a line of JSON.

    Raises:
        InputError: It is not JSON, or too deep; `expected` ends the message.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{line[:_SHOWN]!r} is not JSON ({error}); {expected}") from None


def take_bounds(found: dict[str, Any], taken: Container[str | None]) -> tuple[bool, bool]:
    """Return whether a JSON object starts and ends a sequence, and remove these fields from it.

    Args:
        found: The object.
        taken: Names of fields that are something else.

    Raises:
        InputError: One of them is almost true (1, "true"): a reset that is left out is not seen.
    """
    if found.keys().isdisjoint(_BOUNDS):
        return False, False
    bounds = {name: found[name] for name in _BOUNDS if name in found and name not in taken}
    for name, value in bounds.items():
        if value is not True and str(value).casefold() in _ALMOST_TRUE:
            raise InputError(
                f'"{name}" is {json.dumps(value)}, and true was perhaps meant. Write "{name}": true, or give a field '
                "that is something else another name."
            )
    names = [name for name, value in bounds.items() if value is True]
    for name in names:
        del found[name]
    return any(name in names for name in STARTS), END in names


def key_of(found: Mapping[str, Any], key_field: str | None, line: str, expected: str) -> str:
    """Return the key of the stream of a JSON object; "" without a field of keys.

    Raises:
        InputError: It has none, or one that is no text.
    """
    if key_field is None:
        return ""
    key = text_of(found.get(key_field), repr(key_field), line, expected)
    if key is None:
        raise InputError(f"{line[:_SHOWN]!r} has no {key_field!r}; {expected}")
    return key


def _object(found: Any, line: str, expected: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise InputError(f"{line[:_SHOWN]!r} is not a JSON object; {expected}")
    return found


def _symbol(value: Any, line: str, expected: str) -> str:
    symbol = text_of(value, "its symbol", line, expected)
    if symbol is None:
        raise InputError(f"{line[:_SHOWN]!r} has no symbol; {expected}")
    return symbol


def text_of(value: Any, what: str, line: str, expected: str) -> str | None:
    """Return a JSON value as the text of a symbol or key; None for null."""
    if type(value) is str and value.isascii():
        return value
    try:
        text = json_text(value)
        if text is not None:
            text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{line[:_SHOWN]!r} has half of a surrogate pair in {what}, which is no Unicode text; {expected}"
        ) from None
    except ValueError as error:
        raise InputError(f"{line[:_SHOWN]!r} has {error} as {what}; {expected}") from None
    return text


def _expected(manifest: Manifest, symbol_field: str, key_field: str | None = None) -> str:
    """Return the expected fields, for a message."""
    names = [key_field, symbol_field if len(manifest.vocabulary) else None]
    names += [feature.name for feature in manifest.features]
    fields = ", ".join(f'"{name}": ...' for name in names if name is not None)
    return f"expected is {{{fields}}}."
