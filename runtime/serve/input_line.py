"""One line of input: a symbol, or a JSON object that holds it, what the model reads beside it, and whose it is."""

from __future__ import annotations

import json
from typing import Any

from ..common.errors import FeatureMismatchError, InputError, UnknownSymbolError
from ..format.manifest import Manifest
from ..format.tensor_specs import SYMBOL
from ..format.vocabulary import json_text, unescape_symbol


def parse_line(line: str, manifest: Manifest) -> tuple[str | None, dict[str, Any] | None]:
    r"""Return the symbol and the features that `line` holds, as `Stream.step` takes them.

    A model that reads symbols alone has one on each line (newline, tab and backslash as `\n`, `\t`, `\\`). For any
    other a line is a JSON object: {"symbol": "3", "speed": [0.1, 0.2]}; a feature alone may be its array.

    Raises:
        UnknownSymbolError: There is no symbol where the model reads one.
        FeatureMismatchError: The line is not JSON, or not an object. Names and shapes are for `Stream.step` to check.
    """
    if not manifest.features:
        return (line if line in manifest.vocabulary else unescape_symbol(line)), None
    names = _names(SYMBOL, None, manifest)
    try:
        found = json.loads(line)
    except ValueError as error:
        raise FeatureMismatchError(f"{line[:60]!r} is not JSON ({error}); wanted is {{{names}}}.") from None
    if not isinstance(found, dict) and len(manifest.vocabulary) + len(manifest.features) == 1:
        found = {manifest.features[0].name: found}
    if not isinstance(found, dict):
        raise FeatureMismatchError(f"{line[:60]!r} is not a JSON object; wanted is {{{names}}}.")
    symbol = found.pop(SYMBOL, None) if len(manifest.vocabulary) else None
    return _symbol(symbol, SYMBOL, line, manifest), found


def parse_json_line(
    line: str, manifest: Manifest, symbol_field: str | None, key_field: str | None
) -> tuple[str, str | None, dict[str, Any] | None]:
    """Return what a line of JSON holds: the key of its stream, the symbol and the features.

    Numbers, true and false as key or symbol are texts as they are written in JSON. Fields that are asked for by nobody
    are left out.

    Args:
        line: A JSON object.
        manifest: That of the model.
        symbol_field: The field of the symbol; None: "symbol".
        key_field: The field of the key; None: there is one stream, and its key is "".

    Raises:
        InputError: The line is no JSON object, or has no key.
        UnknownSymbolError: There is no symbol where the model reads one.
    """
    symbol_field = symbol_field or SYMBOL
    wanted = f"wanted is {{{_names(symbol_field, key_field, manifest)}}}."
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"{line[:60]!r} is not JSON ({error}); {wanted}") from None
    if not isinstance(found, dict):
        raise InputError(f"{line[:60]!r} is not a JSON object; {wanted}")
    try:
        key = "" if key_field is None else json_text(found.get(key_field))
    except ValueError as error:
        raise InputError(f"{line[:60]!r} has {error} as {key_field!r}; {wanted}") from None
    if key is None:
        raise InputError(f"{line[:60]!r} has no {key_field!r}; {wanted}")
    features = {feature.name: found[feature.name] for feature in manifest.features if feature.name in found}
    return key, _symbol(found.get(symbol_field), symbol_field, line, manifest), features or None


def _symbol(value: Any, field: str, line: str, manifest: Manifest) -> str | None:
    """Return the symbol that `value` is; None where the model reads none."""
    if not len(manifest.vocabulary):
        return None
    wanted = f"wanted is {{{_names(field, None, manifest)}}}."
    try:
        symbol = json_text(value)
    except ValueError as error:
        raise UnknownSymbolError(f"{line[:60]!r} has {error} as its symbol; {wanted}") from None
    if symbol is None:
        raise UnknownSymbolError(f"{line[:60]!r} has no symbol; {wanted}")
    return symbol


def _names(symbol_field: str, key_field: str | None, manifest: Manifest) -> str:
    """Return the fields of an object, as they are shown to people."""
    names = [] if key_field is None else [key_field]
    names += [symbol_field] if len(manifest.vocabulary) else []
    return ", ".join(f'"{name}": ...' for name in [*names, *(feature.name for feature in manifest.features)])
