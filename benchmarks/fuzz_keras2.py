"""Files of Keras 2 as fuzz_kinds.py has other files: read as data without TensorFlow, and rebuilt in full."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from fuzz_kind import DATA, Kind

from stepcell.export import read_source

FOLDER = DATA / "keras2"
# The damaged file -> what is read: the model, and the weights of a configuration.
READ = {
    "symbols.h5": ("symbols.h5", None),
    "symbols.json": ("symbols.json", "symbols_alone.h5"),
    "symbols_alone.h5": ("symbols.json", "symbols_alone.h5"),
    "symbols.weights.h5": ("symbols.json", "symbols.weights.h5"),
    "functional.h5": ("functional.h5", None),
    "functional.keras": ("functional.keras", None),
    "cudnn.h5": ("cudnn.h5", None),
    "saved_model/keras_metadata.pb": ("saved_model", None),
}
# What TensorFlow alone reads.
CHECKPOINTS = {
    "saved_model/variables/variables.index": ("saved_model", None),
    "saved_model/variables/variables.data-00000-of-00001": ("saved_model", None),
    "symbols_checkpoint.index": ("symbols.json", "symbols_checkpoint"),
    "symbols_checkpoint.data-00000-of-00001": ("symbols.json", "symbols_checkpoint"),
}


def _make(folder: Path) -> None:
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)


def _read(folder: Path, name: str) -> None:
    model, weights = READ[name]
    read_source(folder / model, weights and folder / weights)


def _rebuild(folder: Path, name: str) -> None:
    model, weights = {**READ, **CHECKPOINTS}[name]
    for array in read_source(folder / model, weights and folder / weights).model.get_weights():
        assert isinstance(array, np.ndarray), "weights that are no arrays"


KINDS = {"keras 2 files": Kind(tuple(READ), _make, _read)}


def keras2_kind() -> Kind:
    """Return the kind that is rebuilt in Keras 3, which imports TensorFlow."""
    return Kind((*READ, *CHECKPOINTS), _make, _rebuild)
