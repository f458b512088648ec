"""Keras models (.keras) as fuzz_kinds.py has other files: loaded in full, by Keras. Imports TensorFlow."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from fuzz_kind import Kind

from stepcell.export import load_keras

NAME = "model.keras"


def keras_kind(files: Path) -> Kind:
    """Return the kind of the file `model.keras` in the folder `files`."""
    right = load_keras(files / NAME).get_weights()

    def make(folder: Path) -> None:
        shutil.copy(files / NAME, folder)

    def read(folder: Path, name: str) -> None:
        weights = load_keras(folder / name).get_weights()
        assert len(weights) == len(right), "another number of weights"
        assert all(np.isfinite(array).all() for array in weights), "weights that are not finite"

    return Kind((NAME,), make, read)
