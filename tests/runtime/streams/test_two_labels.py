"""One sigmoid unit may have two labels: it is the probability of the second."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.command_line import stepcell
from support.models import path_of
from support.power import write_power, write_switch, write_table

from stepcell.runtime import Vocabulary, load, read_model_file
from stepcell.runtime.common.errors import DamagedFileError
from stepcell.runtime.evaluation import evaluate_labels, read_target_data
from stepcell.runtime.format.manifest_reader import read_manifest

TWO = {"labels": Vocabulary(("off", "on")), "binary": True}


@pytest.fixture
def switch(tmp_path):
    return load(write_switch(tmp_path / "switch.onnx", **TWO), backend="numpy")


def test_the_likelier_label_is_named_with_its_probability(switch):
    stream = switch.stream()
    on, off = (stream.step(features={"volts": [volts], "amps": [1]}) for volts in (2.0, -2.0))
    assert (on.symbol, off.symbol) == ("on", "off")
    assert on.probability == pytest.approx(off.probability) == pytest.approx(1 / (1 + np.exp(-2)))
    assert on.probabilities.shape == (1,)
    assert [label for label, _ in off.top(2)] == ["off", "on"]
    assert switch.streams(3).step(features={"volts": np.zeros((3, 1)), "amps": np.ones((3, 1))}).shape == (3, 1)


def test_the_manifest_needs_format_4_and_is_read_as_it_was_written(switch):
    manifest = switch.manifest
    assert manifest.output_size == 1
    content = json.loads(manifest.to_bytes())
    assert (content["format"], content["output"]["size"]) == (4, 1)
    assert read_manifest(manifest.to_bytes(), "switch") == manifest
    with pytest.raises(DamagedFileError, match="came with format 4"):
        read_manifest(json.dumps({**content, "format": 3}).encode(), "switch")


def test_other_files_keep_their_format_and_their_size(tmp_path):
    for path in (path_of("memory", "onnx"), write_switch(tmp_path / "a.onnx"), write_power(tmp_path / "b.onnx")):
        manifest = read_model_file(path).manifest
        assert not manifest.binary
        assert manifest.format < 4
        assert json.loads(manifest.to_bytes())["output"]["size"] == len(manifest.output_vocabulary)
        assert replace(manifest, binary=False) == manifest


def test_commands_name_the_labels(tmp_path):
    model, table = write_switch(tmp_path / "switch.onnx", **TWO), tmp_path / "table.csv"
    write_table(table)
    table.write_text(table.read_text().replace(",1\n", ",on\n").replace(",0\n", ",off\n"))
    found = evaluate_labels(
        load(model), read_target_data(load(model).manifest, table, ["on"], options={"sequence": "run"})
    )
    assert tuple(found.symbols) == ("off", "on")
    result = stepcell("predict", model, "--json", input='{"volts": [-2], "amps": [1]}\n')
    assert json.loads(result.stdout)["symbol"] == "off"
    assert "off" in stepcell("inspect", model).stdout
