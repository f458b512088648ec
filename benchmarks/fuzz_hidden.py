"""TFLite files with hidden state as fuzz_kinds.py has other files: lifted, as `stepcell adopt --lift` does it."""

from __future__ import annotations

import shutil
from pathlib import Path

from fuzz_kind import DATA, Kind

from stepcell.export.adopt.lift import lift
from stepcell.runtime.format.tflite_graph import VARIABLE_OPERATORS, read_tflite_graph

FILES = ("gru.tflite", "lstm.tflite", "counter.tflite", "ring.tflite")


def _make(folder: Path) -> None:
    for name in FILES:
        shutil.copy(DATA / "hidden" / name, folder)


def _read(folder: Path, name: str) -> None:
    lifted = lift((folder / name).read_bytes(), name)
    graph = read_tflite_graph(lifted.payload)
    assert not graph.used_operators.intersection(VARIABLE_OPERATORS), "a variable is left"
    inputs = {graph.subgraphs[0].tensors[index].name for index in graph.subgraphs[0].inputs}
    assert inputs >= {state.name for state in lifted.states}, "a state is not among the inputs"


KINDS = {"hidden state": Kind(FILES, _make, _read)}
