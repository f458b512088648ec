"""Files of Keras 2 that are checked in, and what tf_keras answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

KERAS2 = Path(__file__).parents[2] / "data" / "keras2"


@pytest.fixture(scope="session")
def keras2():
    """The folder of the files."""
    return KERAS2


@pytest.fixture(scope="session")
def answers():
    """Name -> (inputs, outputs of tf_keras)."""
    with np.load(KERAS2 / "answers.npz") as file:
        names = {name.split("/")[0] for name in file.files}
        return {name: (file[f"{name}/x"], file[f"{name}/y"]) for name in names}
