"""A manifest in lines of text, as `stepcell inspect` prints it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA, answering, path_of

from stepcell.runtime import Feature, Output, StateTensor, Vocabulary, read_model_file
from stepcell.runtime.format.describe import describe_manifest

MEMORY = read_model_file(DATA / "memory.tflite").manifest


def lines_of(**changes):
    head, *lines = describe_manifest(DATA / "memory.tflite", replace(MEMORY, **changes)).splitlines()
    assert head == str(DATA / "memory.tflite")
    assert all(line.startswith("  ") for line in lines)
    return [(line[2:14].strip(), line[15:]) for line in lines]


def test_a_manifest_is_described_in_a_line_for_each_part():
    found = dict(lines_of())
    assert found["symbols"] == "5 symbols: '0', '1', '2', ..."
    assert found["state"] == "h0 (1, 20) -> next_h0, c0 (1, 20) -> next_c0"
    assert (found["cells"], found["start"], found["answers"]) == ("lstm 20", "zeros", "the next symbol")
    assert (found["features"], found["weights"]) == ("none", "float32; softmax output")
    assert found["fingerprint"] == MEMORY.fingerprint
    parity = [text for name, text in lines_of() if name == "parity"]
    assert len(parity) == len([entry for entry in MEMORY.parity if entry["start"] != "each"]) > 0
    assert "from Keras over 10000 steps carried from the initial state on " in parity[0]


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"labels": Vocabulary(("yes", "no"))}, "answers", "a label (2 symbols: 'yes', 'no')"),
        ({"output": "linear"}, "answers", "5 values"),
        ({"extra_outputs": (Output("gap", 1, "linear"),)}, "answers", "the next symbol; gap (1 numbers, linear)"),
        ({"features": (Feature("speed", (2,)), Feature("day", (), 7))}, "features", "speed [2], day (id of 7)"),
        ({"vocabulary": Vocabulary.none(), "labels": Vocabulary(("a",))}, "symbols", "none"),
        ({"cells": ()}, "cells", "none known"),
        ({"training": {"data": {"reading": "csv"}}}, "training", "unknown"),
        ({"memory": 37}, "memory", "remembers about 37 steps"),
        ({"memory": 1}, "memory", "remembers about 1 step"),
        ({"memory": 4096}, "memory", "remembers 4,096 steps or more"),
        ({"sequence": True}, "graph", "whole sequences, of any length"),
        ({"state": (StateTensor("h0", (2,), 0.5),)}, "start", "h0 0.5"),
        (
            {"state": (StateTensor("h0", (2,)).starting_from(np.array([-1, 2], np.float32)),)},
            "start",
            "h0 2 numbers from -1 to 2",
        ),
    ],
)
def test_every_kind_of_model_is_described(changes, name, text):
    assert dict(lines_of(**changes))[name] == text


def test_a_mapping_is_described_in_a_line():
    path = DATA / "adopted.tflite"
    manifest = read_model_file(path).manifest
    (line,) = (line for line in describe_manifest(path, manifest).splitlines() if line.startswith("  graph"))
    assert line.endswith(manifest.io_mapping.describe())
    assert f"symbol {manifest.io_mapping.symbol.name} " in line
    assert f"output {manifest.io_mapping.output.name} float32 " in line


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ((1, 1), "the next symbol"),
        ((20, 1), "the next symbol; from step 20 on"),
        ((3, 2), "the next symbol; at every 2nd step, first at step 3"),
        ((1, 13), "the next symbol; at every 13th step, first at step 1"),
    ],
)
def test_the_steps_that_answer_are_named(times, shown, tmp_path):
    path = answering(tmp_path / "sparse.tflite", *times)
    lines = describe_manifest(path, read_model_file(path).manifest).splitlines()
    assert f"  answers      {shown}" in lines


def test_static_inputs_are_named():
    path = path_of("personal")
    assert "  static       user [3]" in describe_manifest(path, read_model_file(path).manifest).splitlines()
