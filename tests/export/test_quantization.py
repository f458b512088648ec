"""Files with float16 and int8 weights: small, held against their tolerances, and refused beyond them."""

from __future__ import annotations

import json
import re

import keras
import numpy as np
import pytest
from support.broken_export import build_broken, expected_of, miswired, prove
from support.keras_models import sharp_model
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import NotSteppableError, build_step_function, check, export
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.ops.precision import BYTES_PER_WEIGHT
from stepcell.export.parity.comparison import Choice, choices, comparison_table, recommendation, recommendations
from stepcell.export.parity.parity import EACH
from stepcell.export.parity.report import parity_table
from stepcell.export.parity.sample_inputs import sample_inputs
from stepcell.export.parity.tolerance import TOLERANCES
from stepcell.export.prepare import prepare
from stepcell.export.tflite.convert import operator_versions, require_loadable, tflite_payload
from stepcell.runtime import GoldenMismatchError, load, read_model_file
from stepcell.runtime.format.model_file import pack

BOTH = ["float16", "int8"]
PAYLOADS = {"tflite": tflite_payload, "onnx": onnx_payload}
PERIOD = "01020304"  # what follows 0 depends on what came before it
SAMPLE = 30 * PERIOD


@pytest.fixture(scope="module")
def model():
    """An LSTM, a GRU and a SimpleRNN of random weights, one after the other, and a readout that solves PERIOD.

    Each has more than 1,024 recurrent weights: smaller matrices stay float32 with int8. The readout is found by ridge
    regression on the states, which takes no time and gives answers that are far from equally likely.
    """
    keras.utils.set_random_seed(3)
    keep = {"return_sequences": True}
    cells = [keras.layers.LSTM(20, **keep), keras.layers.GRU(20, **keep), keras.layers.SimpleRNN(36, **keep)]
    source = keras.Input((None,), dtype="int32")
    states = keras.Sequential(
        [source, keras.layers.Embedding(5, 8, keras.initializers.RandomNormal(stddev=1.0)), *cells]
    )
    random = np.random.default_rng(0)
    period = np.array([int(symbol) for symbol in PERIOD])
    ids = np.stack([[*random.integers(0, 5, 10), *np.roll(np.tile(period, 5), phase)] for phase in range(40)])
    seen, following = np.asarray(states(ids))[:, 18:-1].reshape(-1, 36), ids[:, 19:].reshape(-1)
    wanted = 8.0 * np.eye(5)[following]
    kernel = np.linalg.solve(seen.T @ seen + np.eye(36), seen.T @ wanted)
    readout = keras.layers.Dense(5, "softmax")
    model = keras.Sequential([states, readout])
    readout.set_weights([kernel, np.zeros(5)])
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("build"), sample=SAMPLE, steps=300, quantize=BOTH)


@pytest.mark.slow
def test_every_precision_of_every_cell_is_within_its_tolerance_on_every_runtime(exported):
    assert [path.name for path in exported.files] == [
        "model.tflite", "model.onnx", "model.float16.tflite", "model.float16.onnx", "model.int8.tflite",
        "model.int8.onnx", "parity.json",
    ]  # fmt: skip
    on_interpreters = [parity for parity in exported.parity if parity.backend != "native"]
    assert len(on_interpreters) == 3 * 3 * 3  # runtimes, precisions, start states
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    for parity in exported.parity:
        tolerance = TOLERANCES[parity.quantization]
        assert parity.holds
        if parity.start != EACH:
            assert parity.max_abs_error <= tolerance.error
            assert parity.argmax_agreement >= tolerance.agreement
            assert abs(parity.nll_change) <= tolerance.nll
    int8 = [parity for parity in exported.parity if parity.quantization == "int8"]
    assert min(parity.max_abs_error for parity in int8) > 1e-5  # it is another file, not the float32 one once more


def test_a_quantized_file_says_what_it_is_and_answers_on_every_runtime(exported):
    for path in exported.files[2:-1]:
        manifest = read_model_file(path).manifest
        assert manifest.quantization in path.name
        assert {entry["quantization"] for entry in manifest.parity} == {manifest.quantization}
        assert manifest.golden.tolerance == 1e-5 or manifest.quantization == "int8"
        for backend in ("litert", "tflite") if path.suffix == ".tflite" else ("onnxruntime",):
            stream = load(path, backend=backend).stream()  # which replays the golden sequence
            stream.absorb(3 * PERIOD)
            assert "".join(stream.step(symbol).symbol for symbol in PERIOD) == PERIOD[1:] + PERIOD[0]


@pytest.mark.slow
def test_the_golden_sequence_of_a_quantized_file_notices_other_weights(model, exported):
    other = keras.models.clone_model(model)
    other.set_weights([weights * np.float32(0.9) for weights in model.get_weights()])
    for path in exported.files[2:-1]:
        file = read_model_file(path)
        payload, _ = PAYLOADS[file.format](build_step_function(other), file.manifest.quantization)
        wrong = path.with_name(f"wrong-{path.name}")
        wrong.write_bytes(pack(payload, file.manifest, file.format))
        with pytest.raises(GoldenMismatchError, match="does not answer as wrong-model"):
            load(wrong)
        wrong.unlink()


def test_the_report_compares_the_files_and_recommends_one_for_each_runtime(exported):
    report = json.loads(exported.files[-1].read_bytes())
    assert report["files"] == {path.name: {"bytes": path.stat().st_size} for path in exported.files[:-1]}
    assert report["gates"]["int8"] == {
        "single_step_state": 0.3, "nll_change": 0.01, "noise_of_values": 0.05, "argmax_agreement": 0.98,
    }  # fmt: skip
    carried = [entry for entry in report["parity"] if entry["start"] != EACH]
    assert all(entry["microseconds"] > 0 for entry in carried)
    assert all(entry["error_last_tenth"] < 10 * entry["error_first_tenth"] for entry in carried)
    interpreters = [line for line in report["recommendations"] if not line.startswith("on compiled engine")]
    assert len(interpreters) == 3
    assert all(re.match(r"on \S+ \S+ use model\.\S*(tflite|onnx): ", line) for line in interpreters)
    on_interpreters = [parity for parity in exported.parity if parity.backend != "native"]
    assert len(choices(on_interpreters, exported.sizes)) == 9


@pytest.mark.slow
def test_checking_a_quantized_file_holds_it_against_its_own_tolerance_and_draws_the_error(model, exported, tmp_path):
    results = check(exported.files[4], model, sample=SAMPLE, steps=300, plot=tmp_path / "error.png")
    assert {parity.quantization for parity in results} == {"int8"}
    assert all(parity.holds and parity.errors.shape == (parity.steps,) for parity in results)
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_command_line_quantizes_compares_and_draws(memory_run, tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0
        return result.output

    arguments = ["--format", "onnx", "--quantize", "float16", "--steps", "60"]
    output = run("export", memory_run, "--out", tmp_path, *arguments)
    assert "model.float16.onnx" in output
    assert re.search(r"^on onnxruntime .* use model\.", output, re.M)
    file = tmp_path / "model.float16.onnx"
    output = run("check", file, "--keras", memory_run, "--steps", "60", "--plot", tmp_path / "error.png")
    assert "float16 probabilities 0.002, state after a single step 0.01, same answer from 99.9 %" in output
    assert (tmp_path / "error.png").stat().st_size > 10_000
    assert "float16; softmax" in run("inspect", file)


class Scaled:
    """Operations whose matrix products are all off by a factor."""

    def __init__(self, ops, factor):
        self._ops, self._factor = ops, factor

    def __getattr__(self, name):
        return getattr(self._ops, name)

    def matmul(self, x, kernel):
        return self._factor * self._ops.matmul(x, kernel)


@pytest.fixture(scope="module")
def runs(model):
    """The model prepared for its files, and its expected runs."""
    prepared = prepare(model)
    return prepared, expected_of(prepared, steps=100, sample=sample_inputs(prepared.manifest, SAMPLE, None))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "quantization", "factor", "problem"),
    [
        ("onnx", "float16", 1.05, "an output is off by .* \\(allowed 0.002\\)"),
        ("tflite", "int8", 0.3, "the NLL changes by .* nats \\(at most 0.01\\)"),
    ],
)
def test_weights_that_are_scaled_wrongly_are_refused_with_the_figures(
    format, quantization, factor, problem, runs, device, tmp_path
):
    prepared, expected = runs
    built = build_broken(
        prepared, lambda right: lambda ops, *rest: right(Scaled(ops, factor), *rest), format, tmp_path, quantization
    )
    refusal = prove(built, expected, device).refusal
    assert re.search(rf"(?s)model.{quantization}.{format} is farther .*{problem}", refusal)


@pytest.mark.parametrize(("quantization", "fault"), [("float16", "only h fed back"), ("int8", "h and c swapped")])
def test_a_miswired_state_is_noticed_in_a_quantized_file(fault, quantization, runs, device, tmp_path):
    prepared, expected = runs
    built = build_broken(prepared, lambda right: miswired(right, fault), "onnx", tmp_path, quantization)
    refusal = prove(built, expected, device).refusal
    assert re.search(r"(?s)a state is off by .*each from a given state, on onnxruntime", refusal)


def test_a_file_that_tflite_runtime_cannot_load_is_not_made():
    with pytest.raises(NotSteppableError, match=r"int8 file that .* cannot load: .*FULLY_CONNECTED version 12 \(at mo"):
        require_loadable({"FULLY_CONNECTED": 12, "ADD": 1}, "int8")


def test_a_weight_beyond_float16_is_refused():
    model = sharp_model("rnn", 1, symbols=40)
    model.set_weights([model.get_weights()[0] * np.float32(1e6), *model.get_weights()[1:]])
    with pytest.raises(NotSteppableError, match="is beyond float16, which ends at 65504"):
        onnx_payload(build_step_function(model), "float16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "quantization"),
    [
        ("tflite", "int8"),
        ("onnx", "float16"),
        pytest.param("tflite", "float16", marks=pytest.mark.slow),
        pytest.param("onnx", "int8", marks=pytest.mark.slow),
    ],
)
def test_a_model_of_256_units_has_the_bytes_of_its_weights(format, quantization):
    layers = [keras.layers.Embedding(100, 100, "identity"), keras.layers.LSTM(256), keras.layers.Dense(100, "softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    step_function = build_step_function(model)
    payload, requires = PAYLOADS[format](step_function, quantization)
    weights = (100 + 256) * 1024 + 256 * 100  # the lookup table has the kernel and the bias in it
    half = 2 if format == "tflite" else 4  # bytes of the scale of a column
    scales = half * (1024 + 1024) + 4 * 100 if quantization == "int8" else 0
    expected = BYTES_PER_WEIGHT[quantization] * weights + scales
    assert expected <= len(payload) <= 1.03 * expected
    if format == "tflite":
        assert requires == operator_versions(payload)
        assert requires["FULLY_CONNECTED"] <= 10


@pytest.mark.slow
def test_values_are_compared_by_their_relative_error_and_not_by_answers(tmp_path):
    inputs = keras.Input((None, 3), name="features")
    values = keras.layers.Dense(2)(keras.layers.GRU(40, return_sequences=True)(inputs))
    exported = export(
        keras.Model(inputs, values), tmp_path, values=True, steps=200, formats=["tflite"], quantize=["int8"]
    )
    header, rows, note = comparison_table(exported.parity, exported.sizes)
    assert header == [
        "runtime",
        "file",
        "bytes",
        "us a step",
        "values",
        "growth",
        "relative error",
        "error in units, range",
    ]
    assert "relative error: root mean square difference over" in note
    assert {row[-1] for row in rows if "int8" in row[1]}.isdisjoint(row[-1] for row in rows if "int8" not in row[1])
    entries = json.loads(exported.files[-1].read_bytes())["parity"]
    assert all("value_noise" in entry and "argmax_agreement" not in entry for entry in entries)
    assert not any("answers" in sentence for sentence in recommendations(exported.parity, exported.sizes))
    table = parity_table(exported.parity)
    assert "relative error" in table[0]
    assert "same answer" not in table[0]


def test_a_smaller_file_of_values_is_recommended_only_where_values_are_hardly_off():
    def choice(file, size, noise):
        return Choice(file, "here", file, size, 10.0, 0.0, None, None, 1.0, True, noise)

    exact = choice("float32", 1000, 1e-7)
    assert recommendation([exact, choice("int8", 250, 0.002)]) == (
        "on here use int8: 25 % of the size, the same speed, values with a relative error of 0.2 %"
    )
    assert recommendation([exact, choice("int8", 250, 0.02)]).endswith("no other file earns its loss of precision")


def test_a_recommendation_weighs_speed_size_and_answers():
    def choice(quantization, size, microseconds, agreement=1.0, holds=True):
        return Choice(
            f"model.{quantization}", "here", quantization, size, microseconds, 0.0, agreement, 0.0, 1.0, holds
        )

    exact, half = choice("float32", 1000, 20.0), choice("float16", 500, 20.2)
    assert recommendation([exact, half, choice("int8", 250, 36.0, 0.996)]) == (
        "on here use model.float16: 50 % of the size, the same speed, the same answers"
    )
    assert recommendation([exact, half, choice("int8", 250, 5.0, 0.996)]) == (
        "on here use model.int8: 25 % of the size, 4.0 times as fast, 0.4 % of the answers differ"
    )
    assert "use model.float16" in recommendation([exact, half, choice("int8", 250, 5.0, 0.95, holds=False)])
    assert recommendation([exact, choice("int8", 250, 20.0, 0.99)]).endswith(
        "no other file earns its loss of precision"
    )
