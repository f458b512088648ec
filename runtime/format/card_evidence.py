"""The part of a model card about evidence: how a model was trained, what was measured, how exact its file is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from .manifest import Manifest
from .markdown import code, plain, table

METRICS = {  # key in the manifest -> (its type in the metadata, its name)
    "accuracy": ("accuracy", "accuracy"),
    "bits_per_symbol": ("bits_per_symbol", "bits per symbol"),
    "mean_absolute_error": ("mae", "mean absolute error"),
    "mean_squared_error": ("mse", "mean squared error"),
}

# Keys of the reader in the manifest -> what they are called; the values are texts, or lists and mappings of texts.
_READING = {
    "symbol": "columns of the symbol", "sequence": "column of the sequence", "order": "column of the order",
    "features": "columns of numbers", "gaps": "gaps that are symbols", "unit": "unit of the text",
}  # fmt: skip
_SPLITS = {"time": ", the last by time", "last": ", the sequences that begin last", "sequence": ", sequences at random"}


def source_of(manifest: Manifest) -> str:
    """Return the name of the file that the model was trained on, "" if the manifest has none."""
    return _text(_data(manifest).get("source"))


def problem_of(manifest: Manifest) -> str:
    """Return the name of the problem that was learned, "" if the manifest has none."""
    return _text(manifest.training.get("problem"))


def measured(manifest: Manifest) -> Iterator[tuple[tuple[str, str], float, list[float | None]]]:
    """Yield (key, column) of each measured value, the value, and those of the baselines in their order."""
    training, targets = manifest.training, manifest.trained_data.targets
    baselines = [each for _, each in _baselines(manifest)]
    for key in METRICS:
        values = _numbers(training.get(key))
        for index, value in enumerate(values):
            others = [_numbers(each.get(key)) for each in baselines]
            column = targets[index] if isinstance(training[key], list) and index < len(targets) else ""
            yield (key, column), value, [other[index] if index < len(other) else None for other in others]


def _baselines(manifest: Manifest) -> list[tuple[str, Mapping[str, Any]]]:
    found = manifest.training.get("baselines")
    pairs = found.items() if isinstance(found, Mapping) else ()
    return [(name, each) for name, each in pairs if isinstance(each, Mapping)]


def _numbers(value: Any) -> list[float]:
    """Return a number, or a list of numbers, as a list; empty if it is anything else."""
    values = value if isinstance(value, list) else [value]
    return values if all(type(each) in (int, float) and isfinite(each) for each in values) else []


def count_of(value: Any) -> int | None:
    """Return `value` if it is an integer above 0, else None."""
    return value if type(value) is int and value > 0 else None


def training_section(manifest: Manifest) -> Iterator[str]:
    """Yield the section about training, nothing if the manifest knows nothing of it."""
    training = manifest.training
    length, framing, problem = count_of(training.get("longest_length")), training.get("framing"), problem_of(manifest)
    earlier = found if isinstance(found := training.get("from"), Mapping) else {}
    rows = [
        *([["problem", code(problem)]] if problem else []),
        *_data_rows(manifest),
        *([["went on from the run", code(earlier["run"])]] if _text(earlier.get("run")) else []),
        *([["method", plain(framing)]] if isinstance(framing, str) and framing else []),
        *([["steps that a gradient went back", f"{length:,} at most"]] if length else []),
    ]
    found = list(measured(manifest))
    if rows or found:
        yield "## Training"
    if rows:
        yield table(["", ""], rows)
    if found:
        names = [name for name, _ in _baselines(manifest)]
        shown = [
            [METRICS[key][1] + (f" of {code(column)}" if column else ""), f"{value:.4g}",
             *("" if other is None else f"{other:.4g}" for other in others)]
            for (key, column), value, others in found
        ]  # fmt: skip
        yield (
            "Measured on data that were held out:" if source_of(manifest) else "Measured on sequences of the problem:"
        )
        yield table(["", "this model", *map(code, names)], shown)
        if manifest.quantization != "float32":
            yield f"The figures are those of the float32 model before its weights became {manifest.quantization}."


def exactness_section(manifest: Manifest) -> Iterator[str]:
    """Yield the section about the comparisons with the model that the file was made of."""
    rows = []
    for entry in manifest.parity:
        steps, error = count_of(entry.get("steps")), _numbers(entry.get("max_abs_error"))
        if entry.get("start") == "each" or steps is None or len(error) != 1:
            continue
        state, same = _numbers(entry.get("max_state_error")), _numbers(entry.get("argmax_agreement"))
        rows.append([
            code(str(entry.get("runtime"))), code(str(entry.get("start"))), f"{steps:,}", f"{error[0]:.2g}",
            f"{state[0]:.2g}" if len(state) == 1 else "", f"{same[0] * 100:.2f} %" if len(same) == 1 else "",
        ])  # fmt: skip
    if rows:
        yield "Compared with the Keras model before the file was written, with the state carried from step to step:"
        header = ["interpreter", "first state", "steps", "largest difference of an answer", "of a state", "same answer"]
        yield table(header, rows)
        yield "A difference is a share of the range of its number; the range of a probability is 1."
        if any(entry.get("within_gate") is False for entry in manifest.parity):
            yield "One of the comparisons is outside of the tolerance of stepcell, and was accepted by an option."
    else:
        yield "The manifest records no comparison with another implementation."
    if manifest.golden is not None:
        steps = sum(len(run.ids) for run in manifest.golden.runs)
        yield f"The file holds a known answer of {steps:,} steps, which stepcell replays whenever it loads the file."


def _data(manifest: Manifest) -> Mapping[str, Any]:
    data = manifest.training.get("data")
    return data if isinstance(data, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    """Return the texts in a text, a list or a mapping; empty if it is anything else."""
    values = [value] if isinstance(value, str) else list(value.values()) if isinstance(value, Mapping) else value
    return [each for each in values if isinstance(each, str) and each] if isinstance(values, list) else []


def _data_rows(manifest: Manifest) -> Iterator[list[str]]:
    """Yield the rows of the table of training about the data."""
    data, trained = _data(manifest), manifest.trained_data
    for key, name in (("source", "data"), ("sha256", "sha256 of the data"), ("held_out_source", "held-out data")):
        if _text(data.get(key)):
            yield [name, code(data[key], longest=64)]
    held_out = data.get("held_out")
    if isinstance(held_out, Mapping) and len(_numbers(held_out.get("share"))) == 1:
        yield ["held out", f"{held_out['share']:.4g} of it{_SPLITS.get(_text(held_out.get('by')), '')}"]
    for key, name in _READING.items():
        found = _texts(trained.reading.get(key))
        if found:
            yield [name, ", ".join(map(code, found))]
    if trained.targets:
        rows = f", {trained.ahead:,} row{'s' * (trained.ahead > 1)} later" if trained.ahead else ""
        yield ["columns of the right answers", ", ".join(map(code, trained.targets)) + rows]
    least = count_of(data.get("min_count"))
    if least is not None and least > 1:
        yield ["symbols", f"those that occur {least:,} times or more"]
