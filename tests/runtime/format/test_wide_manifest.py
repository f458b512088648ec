"""Manifests of models that read features and answer with more than one output."""

from __future__ import annotations

import json

import pytest
from support.models import path_of

from stepcell.runtime import DamagedFileError, NewerFormatError, read_model_file
from stepcell.runtime.format.manifest_reader import read_manifest


def test_the_manifest_of_a_wide_model_comes_back_whole():
    manifest = read_model_file(path_of("wide", "tflite")).manifest
    assert manifest.to_json()["format"] == 3
    assert read_manifest(manifest.to_bytes(), "model.tflite") == manifest
    golden = manifest.golden.runs[0]
    assert golden.features.keys() == {"hour", "speed"}
    assert golden.extra_outputs.keys() == {"gap", "mood"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"features": [{"name": "speed", "shape": [0], "dtype": "float32", "ids": None}]},
            r"features\[0\].shape\[0\] is 0, not an integer",
        ),
        ({"features": [{"name": "hour", "shape": [2], "dtype": "int32", "ids": 24}]}, "is an id of 24"),
        ({"features": [{"name": "hour", "shape": [], "dtype": "float32", "ids": 24}]}, "feature 'hour' is 'float32'"),
        (
            {"outputs": [{"name": "gap", "size": 0, "activation": "linear", "labels": None}]},
            r"outputs\[0\].size is 0, not an integer",
        ),
        ({"outputs": [{"name": "gap", "size": 2, "activation": "tanh", "labels": None}]}, 'is "tanh", not'),
        ({"features": 3}, "features is 3, not a list"),
        ({"vocabulary": {"symbols": []}, "features": []}, "it has no symbols"),
    ],
)
def test_a_damaged_wide_manifest_is_refused_with_its_problem(change, problem):
    found = read_model_file(path_of("wide", "tflite")).manifest.to_json()
    with pytest.raises(DamagedFileError, match=problem):
        read_manifest(json.dumps({**found, **change}).encode(), "model.tflite")


def test_a_stepcell_that_knows_no_features_asks_to_be_upgraded(monkeypatch):
    manifest = read_model_file(path_of("wide", "tflite")).manifest
    monkeypatch.setattr("stepcell.runtime.format.manifest_reader.NEWEST_FORMAT", 2)
    with pytest.raises(NewerFormatError, match="has format 3"):
        read_manifest(manifest.to_bytes(), "model.tflite")
