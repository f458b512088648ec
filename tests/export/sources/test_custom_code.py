"""Code that the user names is imported; code from a model file never is."""

from __future__ import annotations

import subprocess
import sys

import keras
import ncps.keras
import ncps.wirings
import pytest

from stepcell.export import SourceError, read_source
from stepcell.export.sources.custom_code import how_to_import, import_custom

CELLS = """
import keras

class HalvingCell(keras.layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.built = True

    def call(self, x, states):
        h = 0.5 * states[0] + keras.ops.matmul(x, self.kernel)
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}

def twice(x):
    return 2 * x
"""


def test_classes_and_functions_of_the_file_are_known_to_keras(tmp_path):
    (tmp_path / "my_cells.py").write_text(CELLS.replace("HalvingCell", "KnownCell").replace("twice", "known_twice"))
    import_custom([tmp_path / "my_cells.py"])
    assert keras.saving.get_registered_object("KnownCell")(3).state_size == 3
    assert keras.saving.get_registered_object("known_twice")(2) == 4


def test_one_line_makes_the_wirings_of_ncps_known_too(tmp_path):
    (tmp_path / "with_ncps.py").write_text("import ncps.keras\n")
    import_custom([tmp_path / "with_ncps.py"])
    wired = ncps.keras.CfC(ncps.wirings.AutoNCP(10, 4))
    keras.Sequential([keras.Input((None, 3)), wired]).save(tmp_path / "ncp.keras")
    assert read_source(tmp_path / "ncp.keras").model.output_shape == (None, 4)


def test_a_file_that_is_missing_or_fails_is_an_error_with_its_reason(tmp_path):
    with pytest.raises(SourceError, match="There is no file .*gone.py"):
        import_custom([tmp_path / "gone.py"])
    (tmp_path / "broken.py").write_text("import keras\nraise ValueError('no luck')\n")
    with pytest.raises(SourceError, match="broken.py cannot be imported: ValueError: no luck"):
        import_custom([tmp_path / "broken.py"])
    (tmp_path / "cells.txt").write_text("text")
    with pytest.raises(SourceError, match="is no Python file"):
        import_custom([tmp_path / "cells.txt"])


def test_known_packages_are_named():
    assert how_to_import(["ncps>CfC"]).endswith("--custom FILE.py, a file with the line import ncps.keras")
    assert how_to_import(["tcn.tcn.TCN"]).endswith("a file with the line import tcn")
    assert how_to_import(["mine.Cell"]).endswith("--custom FILE.py")


@pytest.mark.slow
def test_the_command_exports_and_checks_a_model_with_a_cell_of_ones_own(tmp_path):
    (tmp_path / "my_cells.py").write_text(CELLS)
    make = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import keras, my_cells
L = keras.layers
rnn = L.RNN(my_cells.HalvingCell(4), return_sequences=True)
keras.Sequential([keras.Input((None, 3)), rnn, L.Dense(2, activation="softmax")]).save({str(tmp_path / "m.keras")!r})
"""
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True)

    def run(*words):
        return subprocess.run([sys.executable, "-m", "stepcell.cli", *map(str, words)], capture_output=True, text=True)

    out = tmp_path / "out"
    refused = run("export", tmp_path / "m.keras", "--out", out)
    assert refused.returncode == 1
    assert "needs code that is not known here: HalvingCell" in refused.stderr
    assert "--custom FILE.py" in refused.stderr
    done = run("export", tmp_path / "m.keras", "--custom", tmp_path / "my_cells.py", "--out", out, "--steps", 200)
    assert done.returncode == 0, done.stderr
    same = run("check", out / "model.onnx", "--keras", tmp_path / "m.keras", "--custom", tmp_path / "my_cells.py",
               "--steps", 200)  # fmt: skip
    assert same.returncode == 0, same.stderr
