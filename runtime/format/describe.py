"""Describe a manifest in lines of text, as `stepcell inspect` prints it."""

from __future__ import annotations

from pathlib import Path

from .manifest import LONGEST_MEMORY, Manifest, StateTensor
from .tensor_specs import EVERY_STEP


def describe_manifest(file: Path, manifest: Manifest) -> str:
    """Return the content of a manifest, a line for each part of it."""
    training = {name: value for name, value in manifest.training.items() if not isinstance(value, dict)}
    lines = {
        "name": manifest.name,
        "fingerprint": manifest.fingerprint,
        "symbols": manifest.vocabulary.describe() if len(manifest.vocabulary) else "none",
        "features": ", ".join(feature.describe() for feature in manifest.features) or "none",
        "answers": _answers(manifest),
        "cells": ", ".join(f"{cell.kind} {cell.units}" for cell in manifest.cells) or "none known",
        "weights": f"{manifest.quantization}; {manifest.output} output",
        "state": ", ".join(f"{tensor.name} {(1, *tensor.shape)} -> {tensor.next}" for tensor in manifest.state),
        "static": ", ".join(tensor.describe() for tensor in manifest.static),
        "start": ", ".join(filter(None, map(_describe_start, manifest.state))) or "zeros",
        "training": ", ".join(f"{name} {value}" for name, value in training.items()) or "unknown",
        "requires": ", ".join(f"{name} {value}" for name, value in manifest.requires.items()),
        "producer": manifest.producer,
    }
    if manifest.micro is not None:
        lines["graph"] = manifest.micro.describe()
    if manifest.memory is not None:
        lines["memory"] = describe_memory(manifest.memory)
    if not manifest.static:
        del lines["static"]
    if manifest.sequence:
        lines["graph"] = "whole sequences, of any length"
    if manifest.io_mapping is not None:
        lines["graph"] = manifest.io_mapping.describe()
    parity = [
        f"{entry.get('max_abs_error')} from Keras over {entry.get('steps')} steps carried from the "
        f"{entry.get('start')} state on {entry.get('runtime')}"
        for entry in manifest.parity
        if entry.get("start") != "each"
    ]
    rows = [*lines.items(), *(("parity", entry) for entry in parity)]
    return "\n".join([str(file), *(f"  {name:<12} {value}" for name, value in rows)])


def describe_memory(length: int) -> str:
    """Return how long a network remembers in a sentence without its end."""
    steps = f"{length:,} step{'' if length == 1 else 's'}"
    return f"remembers {steps} or more" if length >= LONGEST_MEMORY else f"remembers about {steps}"


def _answers(manifest: Manifest) -> str:
    main = (
        f"{manifest.output_size} values" if manifest.output == "linear"
        else "the next symbol" if manifest.labels is None
        else f"a label ({manifest.labels.describe()})"
    )  # fmt: skip
    extra = (f"{each.name} ({each.size} numbers, {each.activation})" for each in manifest.extra_outputs)
    times = () if manifest.answers == EVERY_STEP else (manifest.answers.describe(),)
    window = () if manifest.window is None else (manifest.window.describe(),)
    return "; ".join([main, *extra, *times, *window])


def _describe_start(tensor: StateTensor) -> str:
    """Return the value of a state tensor after a reset, "" for zero."""
    value = tensor.initial_value()
    if isinstance(tensor.initial, tuple):
        return f"{tensor.name} {value.size} numbers from {value.min():.3g} to {value.max():.3g}"
    return f"{tensor.name} {tensor.initial:g}" if tensor.initial else ""
