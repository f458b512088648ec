"""Graphs that read numbers: features, constants, open shapes, values, integer states; and what is inferred of them."""

from __future__ import annotations

import numpy as np
import pytest
from support import number_graphs as graphs
from support.manifests import schema_errors
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export.adopt import Adopted, InferredMapping, adopt
from stepcell.runtime import FeatureMismatchError, StateMismatchError, load, read_model_file
from stepcell.runtime.common.errors import AdoptionError, StepcellError
from stepcell.runtime.doctor import diagnose, find_target
from stepcell.runtime.format.manifest_reader import read_manifest

CHUNK = np.linspace(-1, 1, 5, dtype=np.float32) ** 2
CHUNKS = {"features": ["chunk"], "constants": {"rate": 10}, "shapes": {"chunk": (1, 5)}, "values": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An adopted running mean of chunks, and a counter."""
    folder = tmp_path_factory.mktemp("numbers")
    adopt(graphs.chunks(folder / "chunks.onnx"), folder / "mean.onnx", output=["level", "peak"], **CHUNKS)
    adopt(graphs.counter(folder / "counter.onnx"), folder / "count.onnx")
    return folder


def test_chunks_are_stepped_with_constants_and_open_shapes(folder):
    for backend in ("onnxruntime", "numpy", "native"):
        stream = load(folder / "mean.onnx", backend=backend).stream()
        found = [stream.step(features={"chunk": CHUNK * k}) for k in (1, 2)]
        mean = CHUNK.mean() / 10
        expected = np.array([mean, mean / 2 + 2 * mean])
        assert np.allclose([each.values[0] for each in found], 3e4 * expected, rtol=1e-6)
        assert [each.outputs["peak"].values.tolist() for each in found] == [[1.0], [2.0]]
        assert np.allclose(stream.state["kept"], expected[1])


def test_open_shapes_of_a_tflite_file_are_set_too(tmp_path):
    adopt(DATA / "foreign" / "open.tflite", tmp_path / "m.tflite", features=["chunk"], shapes={"chunk": (1, 5)})
    for backend in ("litert", "tflite", "numpy", "native"):
        answer = load(tmp_path / "m.tflite", backend=backend).stream().step(features=CHUNK).values
        assert np.allclose(answer, np.tanh(CHUNK.mean()) * CHUNK, atol=1e-6)


def test_its_manifest_says_all_of_it(folder):
    manifest = read_model_file(folder / "mean.onnx").manifest
    mapping = manifest.io_mapping
    assert (manifest.format, manifest.output, len(manifest.vocabulary)) == (4, "linear", 0)
    assert [feature.describe() for feature in manifest.features] == ["chunk [5]"]
    assert [each.describe() for each in mapping.constants] == ["rate int64 [] = 10"]
    assert mapping.rate == 10
    assert schema_errors(manifest.to_json()) == []
    assert read_manifest(manifest.to_bytes(), "mean.onnx") == manifest


def test_doctor_steps_it_and_commands_without_features_say_what_it_reads(folder):
    assert diagnose(folder / "mean.onnx", find_target("this")).verdict.startswith("runs here on onnxruntime")
    with pytest.raises(FeatureMismatchError, match=r"mean.onnx reads chunk \[5\] at each step"):
        load(folder / "mean.onnx").stream().step_id(0)
    result = CliRunner().invoke(app, ["generate", str(folder / "mean.onnx")])
    assert (result.exit_code, "Traceback" in result.output) == (1, False)


def test_integers_of_a_state_are_counted_saved_and_set_exactly(folder, tmp_path):
    model = load(folder / "count.onnx")
    stream = model.stream()
    for _ in range(3):
        stream.step(features=[1.0, 3.0])
    assert stream.state["n"].tolist() == [[3.0]]
    stream.save(tmp_path / "count.state")
    again = model.stream()
    again.restore(tmp_path / "count.state")
    assert again.step(features=[5.0, 3.0]).values.tolist() == [2.0, 3.0]
    with pytest.raises(StateMismatchError, match="n are not all integers that are int64"):
        stream.state = {**stream.state, "n": [[0.5]]}


@pytest.mark.parametrize("backend", ["onnxruntime", "native"])
def test_an_integer_that_float32_does_not_hold_is_an_error_and_the_stream_stays(folder, backend):
    stream = load(folder / "count.onnx", backend=backend).stream()
    stream.state = {"total": np.zeros((1, 2)), "n": [[2.0**24 - 1]]}
    stream.step(features=[1.0, 1.0])
    with pytest.raises(StepcellError, match=r"integer beyond 16,777,216.* stream has not moved"):
        stream.step(features=[1.0, 1.0])
    assert stream.state["n"].tolist() == [[2.0**24]]


# Inference.


def test_the_operator_tells_h_from_c(tmp_path):
    adopted = adopt(graphs.lstm(tmp_path / "lstm.onnx", names=("a", "b")), tmp_path / "out.onnx")
    assert isinstance(adopted, Adopted)
    assert [str(pair) for pair in adopted.mapping.pairs] == ["h_in=a", "c_in=b"]
    assert ("--feature x", "it is the only input that is left, and numbers are no symbols") in adopted.mapping.inferred
    assert not any("swapped" in remark for remark in adopted.remarks)


def test_names_that_contradict_the_operator_are_a_question(tmp_path):
    path, out = graphs.lstm(tmp_path / "lstm.onnx", names=("c_out", "h_out")), tmp_path / "out.onnx"
    result = CliRunner().invoke(app, ["adopt", str(path), "--out", str(out)])
    assert result.exit_code == 2
    assert "inferred: --state h_in=c_out (the operator LSTM takes the one and gives the other)" in result.stderr
    assert not out.exists()
    assert isinstance(adopt(path, out, confirm=lambda _: False), InferredMapping)
    assert CliRunner().invoke(app, ["adopt", str(path), "--out", str(out), "--yes"]).exit_code == 0


def test_states_that_nothing_tells_apart_are_not_paired(tmp_path):
    path = graphs.ambiguous(tmp_path / "m.onnx")
    with pytest.raises(AdoptionError) as caught:
        adopt(path, tmp_path / "out.onnx")
    assert "the inputs in_x, in_a, in_b are neither symbol nor state" in str(caught.value)
    assert "which output answers? One of o_1, o_2, o_3" in str(caught.value)


def test_a_rate_is_no_symbol_and_an_open_dimension_of_a_feature_is_asked_for(tmp_path):
    path = graphs.chunks(tmp_path / "chunks.onnx")
    with pytest.raises(AdoptionError, match="the inputs chunk, rate are neither symbol nor state") as caught:
        adopt(path, tmp_path / "out.onnx", output="level")
    assert "the input chunk leaves a dimension open: give its shape for one step, --shape chunk=1,N" in str(
        caught.value
    )
    with pytest.raises(AdoptionError, match=r"give its shape for one step, --shape chunk=1,N"):
        adopt(path, tmp_path / "out.onnx", output="level", features=["chunk"], constants={"rate": 1})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"features": ["sound"]}, "it has no input 'sound'"),
        ({"constants": {"rate": 10, "chunk": 1}}, "the input 'chunk' is given two roles"),
        ({"constants": {"rate": 0.5}}, r"the constant rate int64 \[\] takes integers"),
        ({"constants": {"rate": [1, 2]}}, r"the constant rate int64 \[\] has 1 elements, 2 are given"),
        ({"shapes": {"chunk": (5,)}}, r"its input chunk has the shape \?,\?, not 5"),
        ({"shapes": {"other": (5,)}}, "it has no input 'other', whose shape is given"),
        ({"output": ["level", "level"]}, "the output 'level' is given twice"),
        ({"activation": "softmax"}, "Values have no activation"),
    ],
)
def test_roles_that_do_not_fit_are_refused_and_nothing_is_written(change, problem, tmp_path):
    path = graphs.chunks(tmp_path / "chunks.onnx")
    with pytest.raises(AdoptionError, match=problem):
        adopt(path, tmp_path / "out.onnx", **{"output": "level", **CHUNKS, **change})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("option", "problem"),
    [(["--constant", "rate"], "is not NAME=NUMBER"), (["--shape", "chunk=1,x"], "is not NAME=SIZE,SIZE"),
     (["--shape", "chunk=0"], "is not NAME=SIZE,SIZE"), (["--constant", "a=nan"], "is not NAME=NUMBER")],
)  # fmt: skip
def test_options_that_cannot_be_read_are_wrong_usage(option, problem, tmp_path):
    result = CliRunner().invoke(app, ["adopt", "m.onnx", "--out", "x.onnx", *option])
    assert result.exit_code == 2
    assert problem in " ".join(result.output.replace("│", " ").split())


@pytest.mark.slow
def test_bench_leaves_out_an_interpreter_that_cannot_load_the_file(tmp_path):
    adopt(graphs.lstm(tmp_path / "lstm.onnx"), tmp_path / "out.onnx")  # numpy does not know the operator LSTM
    result = CliRunner().invoke(app, ["bench", str(tmp_path / "out.onnx"), "--rounds", "1"])
    assert result.exit_code == 0
    assert "onnxruntime" in result.stdout
    assert "left out: numpy" in result.stderr
