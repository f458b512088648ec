"""One line of input: a symbol, or what a model with features reads at a step."""

from __future__ import annotations

import json
from typing import Any

from .errors import FeatureMismatchError, UnknownSymbolError
from .manifest import Manifest
from .ports import SYMBOL
from .vocabulary import unescape_symbol


def read_observation(line: str, manifest: Manifest) -> tuple[str | None, dict[str, Any] | None]:
    r"""Return the symbol and the features that `line` holds, as `Stream.step` takes them.

    A model that reads symbols alone has one on each line (newline, tab and backslash as `\n`, `\t`, `\\`). For any
    other a line is a JSON object: {"symbol": "3", "speed": [0.1, 0.2]}; a feature alone may be its array.

    Raises:
        UnknownSymbolError: There is no symbol where the model reads one.
        FeatureMismatchError: The line is not JSON, or not an object. Names and shapes are for `Stream.step` to check.
    """
    if not manifest.features:
        return (line if line in manifest.vocabulary else unescape_symbol(line)), None
    names = ", ".join(f'"{name}": ...' for name in [*[SYMBOL] * bool(len(manifest.vocabulary)),
                                                    *(feature.name for feature in manifest.features)])  # fmt: skip
    try:
        found = json.loads(line)
    except ValueError as error:
        raise FeatureMismatchError(f"{line[:60]!r} is not JSON ({error}); wanted is {{{names}}}.") from None
    if not isinstance(found, dict) and len(manifest.vocabulary) + len(manifest.features) == 1:
        found = {manifest.features[0].name: found}
    if not isinstance(found, dict):
        raise FeatureMismatchError(f"{line[:60]!r} is not a JSON object; wanted is {{{names}}}.")
    symbol = found.pop(SYMBOL, None) if len(manifest.vocabulary) else None
    if len(manifest.vocabulary) and not isinstance(symbol, str):
        raise UnknownSymbolError(f"{line[:60]!r} has no symbol, which is a string; wanted is {{{names}}}.")
    return symbol, found
