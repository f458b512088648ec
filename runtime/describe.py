"""Manifests and predictions in words, as the commands print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .manifest import Manifest
from .prediction import Prediction
from .vocabulary import escape_symbol


def describe_manifest(file: Path, manifest: Manifest) -> str:
    """Return what a model file says about itself, a line for each thing a person would ask."""
    lines = {
        "name": manifest.name,
        "fingerprint": manifest.fingerprint,
        "symbols": manifest.vocabulary.describe(),
        "answers": "the next symbol" if manifest.labels is None else f"a label ({manifest.labels.describe()})",
        "cells": ", ".join(f"{cell.kind} {cell.units}" for cell in manifest.cells) or "none known",
        "weights": f"{manifest.quantization}; {manifest.output} output",
        "state": ", ".join(f"{tensor.name} {(1, *tensor.shape)} -> {tensor.next}" for tensor in manifest.state),
        "training": ", ".join(f"{name} {value}" for name, value in manifest.training.items()) or "unknown",
        "requires": ", ".join(f"{name} {value}" for name, value in manifest.requires.items()),
        "producer": manifest.producer,
    }
    if manifest.wiring is not None:
        lines["graph"] = manifest.wiring.describe()
    parity = [
        f"{entry.get('max_abs_error')} from Keras over {entry.get('steps')} steps carried from the "
        f"{entry.get('start')} state on {entry.get('runtime')}"
        for entry in manifest.parity
        if entry.get("start") != "each"
    ]
    return "\n".join(
        [
            str(file),
            *(f"  {name:<12} {value}" for name, value in lines.items()),
            *(f"  {'parity':<12} {p}" for p in parity),
        ]
    )


def answer_line(symbol: str, prediction: Prediction, top: int, *, as_json: bool) -> str:
    """Return the answer to `symbol` on one line: the likeliest symbol, or the `top` likeliest with probabilities."""
    best = prediction.top(top)
    if as_json:
        answer: dict[str, Any] = {"input": symbol, "symbol": best[0][0], "probability": round(best[0][1], 6)}
        if top > 1:
            answer["top"] = [{"symbol": other, "probability": round(p, 6)} for other, p in best]
        return json.dumps(answer, ensure_ascii=False)
    if top == 1:
        return escape_symbol(best[0][0])
    return "\t".join(f"{escape_symbol(other)} {probability:.4f}" for other, probability in best)
