"""Manifests in tests: held against the published JSON Schema, and made at random."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stepcell.runtime import Cell, Feature, Golden, GoldenRun, Manifest, Output, StateTensor, Vocabulary
from stepcell.runtime.format.io_mapping import SYMBOL_TYPES, TENSOR_TYPES, Constant, IOMapping, TensorSpec

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/manifest.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
NAMES = st.text(min_size=1, max_size=8)
NUMBERS = st.floats(-9, 9, width=32)


def schema_errors(manifest: dict[str, Any]) -> list[str]:
    """Return what the JSON Schema has against a manifest."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(manifest)]


def golden_run(draw, symbols: int, outputs: int, features: tuple[Feature, ...], extra: tuple[Output, ...]) -> GoldenRun:
    """Draw a golden run that records `outputs` elements of the main output."""
    steps = draw(st.integers(1, 4))

    def rows(width: int) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(draw(NUMBERS) for _ in range(width)) for _ in range(steps))

    return GoldenRun(
        draw(st.sampled_from(["initial", "ramp"])),
        tuple(draw(st.integers(0, max(symbols, 1) - 1)) for _ in range(steps)),
        rows(outputs),
        {feature.name: rows(int(feature.shape[0]) if feature.shape else 1) for feature in features},
        {output.name: rows(draw(st.integers(1, output.size))) for output in extra},
    )


@st.composite
def manifests(draw, *, mapped: bool | None = None) -> Manifest:
    """Draw a manifest of any format; with a mapping to a graph that stepcell did not make, without, or either."""
    mapped = draw(st.booleans()) if mapped is None else mapped
    features = draw(st.sampled_from([(), (Feature("speed", (2,)), Feature("day", (), 7))]))
    extra = draw(
        st.sampled_from([(), (Output("gap", 1, "linear"), Output("mood", 2, "softmax", Vocabulary(("+", "-"))))])
    )
    symbols = draw(st.lists(NAMES, min_size=0 if features else 1, max_size=5, unique=True))
    vocabulary = Vocabulary(tuple(symbols)) if symbols else Vocabulary.none()
    labels = Vocabulary(("yes", "no")) if not symbols else draw(st.none() | st.just(Vocabulary(("yes", "no"))))
    size = len(labels or vocabulary)
    start = draw(NUMBERS | st.tuples(NUMBERS, NUMBERS, NUMBERS))
    recorded = tuple(range(min(size, 2)))
    symbol = TensorSpec(
        "x", dtype := draw(st.sampled_from(SYMBOL_TYPES)), (1, len(symbols) if dtype == "float32" else 1)
    )
    held = draw(st.sampled_from(TENSOR_TYPES)) if mapped else "float32"
    scale = draw(st.sampled_from([0.0, 0.5]))
    ends = TensorSpec("s", held, (1, 3), scale, -7), TensorSpec("t", held, (3,))
    mapping = IOMapping(
        "serve",
        symbol if symbols else None,
        TensorSpec("y", "float32", (1, size)),
        draw(st.booleans()),
        {"h0": ends},
        {each.name: TensorSpec(f"in {each.name}", "int8", (1, *each.shape), scale) for each in features},
        {each.name: TensorSpec(f"out {each.name}", "uint8", (1, each.size), scale, 3) for each in extra},
        draw(st.sampled_from([(), (Constant(TensorSpec("rate", "int64", ()), 16000.0),)])),
        draw(st.none() | st.just(16000)),
    )
    return Manifest(
        name=draw(st.text(max_size=8)),
        vocabulary=vocabulary,
        labels=labels,
        output=draw(st.sampled_from(["softmax", "sigmoid", "linear"])),
        state=(StateTensor("h0", (3,), start, dtype=held),),
        cells=(Cell("lstm", 3, "tanh", "sigmoid"), Cell("gru", 4, "tanh", "sigmoid", draw(st.booleans()))),
        golden=Golden(1e-5, recorded, (golden_run(draw, len(symbols), len(recorded), features, extra),)),
        training={"problem": draw(NAMES), "accuracy": draw(NUMBERS)},
        requires={"opset": 17},
        io_mapping=mapping if mapped else None,
        features=features,
        extra_outputs=extra,
        sequence=not mapped and draw(st.booleans()),
    )


@contextmanager
def written_manifests_are_valid() -> Iterator[None]:
    """Hold every manifest that is written during the block against the JSON Schema."""
    write = Manifest.to_bytes

    def write_checked(manifest: Manifest) -> bytes:
        content = write(manifest)
        assert schema_errors(json.loads(content)) == []
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manifest, "to_bytes", write_checked)
        yield
