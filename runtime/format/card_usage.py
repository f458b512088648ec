"""How to use a model file, in three blocks that run where the file is: load, predict, serve."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import PurePath
from typing import Any

import numpy as np

from .manifest import Manifest
from .markdown import fenced
from .tensor_specs import EVERY_STEP, SYMBOL
from .vocabulary import escape_symbol

_MOST_ELEMENTS = 12  # of features that are written out


def usage(name: str, manifest: Manifest) -> Iterator[str]:
    """Yield the blocks for the file called `name`, each with a sentence before it. Zeros stand for numbers."""
    extra = "onnx" if PurePath(name).suffix == ".onnx" else "tflm" if manifest.micro else "tflite"
    yield f"Install: `pip install 'stepcell[{extra}]'`." + (
        " Zeros stand for your numbers." if manifest.features or manifest.static else ""
    )
    yield "Load and step in Python:"
    yield fenced("python", _load(name, manifest))
    yield "Predict from a shell:"
    yield fenced("sh", _predict(name, manifest))
    yield "Serve streams that outlive a restart:"
    yield fenced("sh", _serve(name, manifest))


def _load(name: str, manifest: Manifest) -> str:
    symbols, features, static = _symbols(manifest), _features(manifest), _static(manifest)
    large = sum(prod(feature.shape) for feature in manifest.features) > _MOST_ELEMENTS
    arrays = (f"{_python(f.name)}: numpy.zeros({f.shape}, {_python(f.dtype.__name__)})" for f in manifest.features)
    values = f"{{{', '.join(arrays)}}}" if large else _python(features)
    arguments = [*([_python(symbols[0])] if symbols else []), *([f"features={values}"] if features else [])]
    shown = "prediction.values" if manifest.output == "linear" else "prediction.symbol, prediction.probability"
    lines = [
        *(["import numpy"] if large else []),
        "from stepcell.runtime import load",
        "",
        f"model = load({_python(name)})",
        f"stream = model.stream({f'static={_python(static)}' if static else ''})",
        f"prediction = stream.step({', '.join(arguments)})",
    ]
    if manifest.answers == EVERY_STEP:
        lines.append(f"print({shown})")
    else:
        lines += ["if prediction is not None:  # it does not answer at each step", f"    print({shown})"]
    return "\n".join([*lines, 'stream.save("stream.state")', 'stream = model.restore("stream.state")'])


def _predict(name: str, manifest: Manifest) -> str:
    symbols = _symbols(manifest)
    command = f"stepcell predict {_shell(name)} --json" + "".join(
        f" --static {_shell(f'{each}=' + ','.join(map(str, np.ravel(zeros))))}"
        for each, zeros in _static(manifest).items()
    )
    if manifest.features:
        return f"{_record(manifest, {})} | {command}"
    return f"printf '%s\\n' {' '.join(_shell(escape_symbol(symbol)) for symbol in symbols)} | {command}"


def _serve(name: str, manifest: Manifest) -> str:
    record = _record(manifest, {"stream": "first"}, static=True)
    return f"{record} | stepcell serve {_shell(name)} --store streams.db"


def _record(manifest: Manifest, fields: Mapping[str, Any], *, static: bool = False) -> str:
    """Return a command that writes a record as a line of JSON."""
    symbols = _symbols(manifest)
    record = {**fields, **({SYMBOL: symbols[0]} if symbols else {}), **(_static(manifest) if static else {})}
    if sum(prod(feature.shape) for feature in manifest.features) <= _MOST_ELEMENTS:
        return f"printf '%s\\n' {_shell(json.dumps({**record, **_features(manifest)}))}"
    shapes = {feature.name: list(feature.shape) for feature in manifest.features}
    made = f"{{**{_python(record)}, **{{n: numpy.zeros(s).tolist() for n, s in {_python(shapes)}.items()}}}}"
    return f"python -c {_shell(f'import json, numpy; print(json.dumps({made}))')}"


def _symbols(manifest: Manifest) -> tuple[str, ...]:
    """Return the first two symbols that a shell can show, or the first two if there are no such."""
    vocabulary = manifest.vocabulary
    names = [each for each in vocabulary.symbols if each not in (vocabulary.unknown, manifest.trained_data.end)]
    shown = [each for each in names if each.isprintable() and each.strip() == each != "" and each[0] not in "{["]
    return tuple((shown or names or list(vocabulary.symbols))[:2])


def _features(manifest: Manifest) -> dict[str, Any]:
    return {feature.name: np.zeros(feature.shape, feature.dtype).tolist() for feature in manifest.features}


def _static(manifest: Manifest) -> dict[str, Any]:
    return {tensor.name: np.zeros(tensor.shape).tolist() for tensor in manifest.static}


def _python(value: Any) -> str:
    """Return texts, numbers, lists and mappings as Python."""
    shown = json.dumps(value, ensure_ascii=False)
    return shown if shown.isascii() and "\x7f" not in shown else ascii(value)


def _shell(word: str) -> str:
    """Return `word` as a word of a shell; one with control characters as bash writes them."""
    if word.startswith("-"):
        word = f"./{word}"
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "\\'" else _escaped(c) for c in word) + "'"


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
