"""Manifests: read with all their problems at once, as the published schema and the pages describe them."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support.manifests import SCHEMA, manifests, schema_errors
from support.models import DATA

from stepcell.runtime import DamagedFileError, ModelFileError, NewerFormatError, read_model_file
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.tensor_specs import AnswerTimes, Window

ROOT = DATA.parents[1]
MEMORY = read_model_file(DATA / "pieces.tflite").manifest.to_json()
FEATURE = {"name": "speed", "shape": [2], "dtype": "float32", "ids": None}
OUTPUT = {"name": "gap", "size": 2, "activation": "linear", "labels": None}
GOLDEN = MEMORY["golden"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def read(manifest):
    return read_manifest(json.dumps(manifest).encode(), "memory.tflite")


def start_of(initial, shape=(2,)):
    """The entries of a format that has one state tensor with a start."""
    tensor = {"name": "h0", "next": "next_h0", "dtype": "float32", "shape": list(shape), "initial": initial}
    return {"format": 3, "state": [tensor]}


def golden_of(**changes):
    return {"golden": {**GOLDEN, "runs": [{**GOLDEN["runs"][0], **changes}]}}


@pytest.mark.parametrize("path", [*sorted(DATA.glob("*.tflite")), *sorted(DATA.glob("*.onnx"))], ids=lambda p: p.name)
def test_the_manifest_of_every_checked_in_file_is_valid_by_the_schema(path):
    assert schema_errors(read_model_file(path).manifest.to_json()) == []


@given(manifests())
def test_every_manifest_is_valid_by_the_schema_and_comes_back(manifest):
    assert schema_errors(manifest.to_json()) == []
    assert read_manifest(manifest.to_bytes(), "memory.tflite") == manifest


@given(manifests())
def test_equal_manifests_are_written_to_equal_bytes(manifest):
    assert read_manifest(manifest.to_bytes(), "memory.tflite").to_bytes() == manifest.to_bytes()


def with_a_change(value, change, dice):
    """Return a JSON value with `change` somewhere in it, or without something."""
    if not isinstance(value, (dict, list)) or not value or dice.random() < 0.1:
        return change
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = dice.choice(list(keys))
    changed = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(changed, dict) and dice.random() < 0.1:
        del changed[key]
    else:
        changed[key] = with_a_change(value[key], change, dice)
    return changed


@given(manifests(), JSON, st.randoms(use_true_random=False))
def test_a_manifest_that_the_schema_refuses_is_not_read(manifest, change, dice):
    changed = with_a_change(json.loads(manifest.to_bytes()), change, dice)
    if schema_errors(changed):
        with pytest.raises(ModelFileError):
            read(changed)


def test_the_schema_and_the_page_are_those_that_the_table_of_fields_makes():
    spec = importlib.util.spec_from_file_location("manifest_pages", ROOT / "docs/manifest_pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    assert pages.SCHEMA_FILE.read_text(encoding="utf-8") == pages.schema_text()
    page = pages.PAGE.read_text(encoding="utf-8")
    assert page == pages.page_text(page)
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 0}, "format 1: its format is 0"),
        ({"format": True}, "its format is True"),
        ({"name": None}, "name is null, not a string"),
        ({"name": ["a"]}, "name is a list, not a string"),
        ({"name": 0.5}, "name is 0.5, not a string"),
        ({"quantization": {}}, "quantization is empty, not a string"),
        ({"training": "x" * 99}, f'training is "{"x" * 59}..., not an object'),
        ({"state": []}, "state is empty, not a list of 1 or more"),
        ({"state": [3]}, r"state\[0\] is 3, not an object"),
        ({"state": [{**MEMORY["state"][0], "next": "next_c0"}]}, "state 'h0' is not paired with 'next_h0'"),
        ({"state": [{**MEMORY["state"][0], "dtype": "int4"}]}, r"state\[0\].dtype is \"int4\", not 'float32' or"),
        ({"state": [{**MEMORY["state"][0], "dtype": "int8"}]}, "a state that is not float32 needs graph"),
        ({"state": MEMORY["state"][:1] * 2}, "state names a tensor twice"),
        (start_of(0, [10**12]), r"state\[0\].shape\[0\] is 1000000000000, not an integer from 1 to 2,147,483,647"),
        (start_of(0, [2**20, 2**20]), r"the shape of state 'h0' is \[1048576, 1048576\]"),
        (start_of([0.5]), "state 'h0' has 1 initial values for 2 elements"),
        (start_of([0.5, None]), r"state\[0\].initial\[1\] is null, not a finite number"),
        (start_of([1e39, 10**400]), r"initial\[0\] is 1e\+39, not a finite number, and 1 more like it"),
        (start_of(float("nan")), r"initial is NaN, not a finite number or a list"),
        (start_of(True), r"initial is true, not a finite number or a list"),
        ({**start_of([0.5, 0.25]), "format": 1}, "it holds what came with format 3"),
        ({"sequence": True}, "it holds what came with format 3"),
        ({"vocabulary": {"symbols": ["a", "a"]}}, "it has the symbol 'a' twice"),
        ({"vocabulary": {"symbols": []}}, "it has no symbols"),
        ({"vocabulary": {"symbols": ["a", 3]}}, r"vocabulary.symbols\[1\] is 3, not a string"),
        ({"target": {"kind": "colour"}}, "target.kind is \"colour\", not 'next' or 'label'"),
        ({"target": {"kind": "label"}}, "target.vocabulary is missing"),
        ({"output": {"activation": "tanh"}}, "output.activation is \"tanh\", not 'softmax' or 'sigmoid' or 'linear'"),
        ({"output": {"activation": "linear"}}, "it holds what came with format 3"),
        ({"cells": [{"kind": "lstm"}]}, r"cells\[0\].units is missing; cells\[0\].activation is missing"),
        (
            {"golden": {"runs": 3}},
            "golden.tolerance is missing; golden.outputs is missing; golden.runs is 3, not a list",
        ),
        (
            {"golden": {"tolerance": 10**400, "outputs": [], "runs": []}},
            "golden.tolerance is 1000.*, not a finite number",
        ),
        (golden_of(start="zero"), r"golden.runs\[0\].start is \"zero\", not 'initial' or 'ramp'"),
        (golden_of(start="\ud800"), r"start is \"\\ud800\", not 'initial' or 'ramp'"),
        (golden_of(ids=[0]), "golden holds ids or rows that do not fit"),
        (golden_of(ids=[9] * len(GOLDEN["runs"][0]["ids"])), "golden holds ids or rows that do not fit"),
        (golden_of(features={"speed": []}), "golden holds ids or rows that do not fit"),
        (golden_of(features={"speed": 3}), r"features\['speed'\] is 3, not a list"),
        (golden_of(probabilities=[[0.5, None]]), r"probabilities\[0\]\[1\] is null, not a finite number"),
        (golden_of(ids=[0] * 10_001, probabilities=[[1.0] * 5] * 10_001), "golden has 10001 steps, at most 10000"),
        ({"training": {"text": "x" * 2**24}}, r"of [\d,]+ bytes; 16,777,216 are the most"),
        ({"format": 3, "features": [FEATURE, FEATURE]}, "features and outputs name a tensor twice"),
        ({"format": 3, "features": [{**FEATURE, "ids": 7}]}, "feature 'speed' is an id of 7 with the shape .2."),
        ({"format": 3, "features": [{**FEATURE, "shape": [2**20] * 2}]}, "the shape of feature 'speed' is"),
        ({"format": 3, "features": [{**FEATURE, "dtype": "int32"}]}, "feature 'speed' is 'int32'"),
        ({"format": 3, "outputs": [{**OUTPUT, "labels": {"symbols": ["a"]}}]}, "'gap' has the size 2 and 1 labels"),
        ({"format": 3, "outputs": [{**OUTPUT, "labels": {"symbols": []}}]}, "it has no symbols"),
        ({"format": 2}, "graph belongs into manifests of format 2, and may be in those from 3 on"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(change, problem):
    with pytest.raises(DamagedFileError, match=rf"memory.tflite carries a manifest .*{problem}"):
        read(MEMORY | change)


@given(manifests(mapped=True), st.sampled_from(["symbol", "output", "state"]))
def test_a_mapping_that_contradicts_the_rest_is_refused(manifest, part):
    changed = json.loads(manifest.to_bytes())
    part = part if part in changed["graph"] else "output"
    ends = changed["graph"]["state"][0]["input"] if part == "state" else changed["graph"][part]
    ends["shape"] = [7, 9]
    with pytest.raises(DamagedFileError, match=f"graph.{part} does not fit"):
        read(changed)


@given(manifests(mapped=True))
def test_nothing_that_a_mapping_leaves_out_stands_beside_one(manifest):
    changed = {**json.loads(manifest.to_bytes()), "format": 4, "sequence": True, "outputs": [OUTPUT], "golden": None}
    with pytest.raises(DamagedFileError, match="sequence cannot be beside graph; .*graph.outputs does not fit"):
        read(changed)


@given(manifests(mapped=True))
def test_what_older_readers_would_step_wrongly_is_format_4(manifest):
    mapping = manifest.io_mapping
    numbers = [port for ends in mapping.state.values() for port in ends]
    plain = mapping.symbol is not None and all((port.dtype, port.scale) == ("float32", 0) for port in numbers)
    known = plain and not (manifest.features or manifest.extra_outputs or mapping.constants or mapping.rate)
    assert (manifest.format < 4) == known


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_bytes_that_are_not_json_are_refused(content):
    with pytest.raises(DamagedFileError, match="its manifest is not JSON .* Copy it again"):
        read_manifest(content, "memory.tflite")


@given(JSON)
def test_any_json_in_place_of_a_manifest_is_refused_cleanly(content):
    with pytest.raises(ModelFileError):
        read(content)


def test_every_problem_of_a_manifest_is_named_at_once():
    changed = MEMORY | {"state": [], "name": None, "training": 3, "vocabulary": {"symbols": ["a", "a"]}}
    with pytest.raises(DamagedFileError, match="name is null.*state is empty.*training is 3.*the symbol 'a' twice"):
        read(changed)


def test_keys_that_are_not_known_are_ignored():
    changed = MEMORY | {"mood": 3, "state": [{**tensor, "colour": "red"} for tensor in MEMORY["state"]]}
    assert read(changed).to_json() == MEMORY


def test_a_manifest_of_a_newer_format_says_what_to_install(monkeypatch):
    message = (
        r"memory.tflite has format 6; this stepcell reads format 5 and older. Upgrade with: pip install -U stepcell"
    )
    with pytest.raises(NewerFormatError, match=message):
        read(MEMORY | {"format": 6, "state": "of a kind not known yet"})
    monkeypatch.setattr("stepcell.runtime.format.manifest_reader.NEWEST_FORMAT", 1)
    with pytest.raises(NewerFormatError, match="has format 2; this stepcell reads format 1. Upgrade"):
        read(MEMORY | {"format": 2})


def test_steps_without_an_answer_windows_and_given_states_need_format_4():
    plain = read_model_file(DATA / "memory.onnx").manifest
    state = tuple(replace(tensor, given=True) for tensor in plain.state)
    for changed in (
        replace(plain, answers=AnswerTimes(3, 2)),
        replace(plain, window=Window(3, "rows")),
        replace(plain, state=state),
    ):
        assert changed.to_json()["format"] == 4
        assert read_manifest(changed.to_bytes(), "memory.tflite") == changed
    assert plain.to_json()["format"] == 1


def test_answers_come_at_the_first_step_that_is_named_and_each_so_many_steps_later():
    assert [step for step in range(1, 12) if AnswerTimes(4, 3).answers_at(step)] == [4, 7, 10]
