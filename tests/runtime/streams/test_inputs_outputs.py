"""Models that read more than a symbol and answer with more than one row of probabilities."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from support.broken_export import answering, break_export, miswired

from stepcell.export import ParityError, build_step_function, check, export
from stepcell.export.parity.parity import EACH
from stepcell.runtime import (
    BackendError,
    DamagedFileError,
    FeatureMismatchError,
    NewerFormatError,
    NoProbabilitiesError,
    OptionError,
    UnknownSymbolError,
    load,
    read_model_file,
)
from stepcell.runtime.bench.measurement import measure_variants
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.serve.input_line import parse_json_line, parse_line
from stepcell.runtime.serve.session import LineOptions, Session
from stepcell.runtime.worker.measure import measure

L = keras.layers
RUNTIMES = [("litert", "model.tflite"), ("tflite", "model.tflite"), ("onnxruntime", "model.onnx")]
HOURS, SPEEDS = 24, 3


def wide_model():
    """A symbol, a second id and numbers in; the next symbol, values and another label out."""
    keras.utils.set_random_seed(4)
    symbol, hour = (keras.Input((None,), dtype="int32", name=name) for name in ("event", "hour"))
    speed = keras.Input((None, SPEEDS), name="speed")
    x = L.Concatenate()([L.Embedding(7, 4)(symbol), L.Embedding(HOURS, 3)(hour), L.Dense(5, activation="tanh")(speed)])
    x = L.LSTM(9, return_sequences=True)(x)
    outputs = [
        L.Dense(7, activation="softmax", name="next")(x),
        L.Dense(2, name="gap")(x),
        L.Dense(3, activation="softmax", name="mood")(L.GRU(4, return_sequences=True)(x)),
    ]
    model = keras.Model([symbol, hour, speed], outputs)
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.7, w.shape).astype("f4") for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    model = wide_model()
    return model, folder, export(model, folder, vocabulary="abcdefg", steps=600)


def some_inputs(steps, seed=0):
    random = np.random.default_rng(seed)
    symbols = ["abcdefg"[id] for id in random.integers(0, 7, steps)]
    return symbols, random.integers(0, HOURS, steps), random.normal(size=(steps, SPEEDS)).astype("f4")


def test_every_output_is_proven_on_every_interpreter(wide):
    _, _, exported = wide
    assert {p.backend for p in exported.parity} == {"litert", "tflite", "onnxruntime"}
    assert max(p.error for p in exported.parity) <= 1e-5


@pytest.mark.parametrize(("backend", "file"), RUNTIMES)
def test_a_stream_answers_every_output_as_keras_does_on_the_whole_sequence(backend, file, wide):
    model, folder, _ = wide
    symbols, hours, speeds = some_inputs(40)
    ids = np.array(["abcdefg".index(symbol) for symbol in symbols])
    following, gap, mood = (np.asarray(out)[0] for out in model([ids[None], hours[None], speeds[None]]))
    stream = load(folder / file, backend=backend).stream()
    for step, symbol in enumerate(symbols):
        prediction = stream.step(symbol, {"hour": hours[step], "speed": speeds[step]})
        assert np.abs(prediction.probabilities - following[step]).max() < 1e-5
        assert np.abs(prediction.outputs["gap"].values - gap[step]).max() < 1e-5
        assert np.abs(prediction.outputs["mood"].probabilities - mood[step]).max() < 1e-5
    assert prediction.outputs["mood"].symbol == str(mood[-1].argmax())


@pytest.mark.parametrize(("backend", "file"), RUNTIMES)
def test_a_history_with_features_is_absorbed_to_the_bits_of_stepping_it(backend, file, wide):
    symbols, hours, speeds = some_inputs(12)
    model = load(wide[1] / file, backend=backend)
    stepped, absorbed = model.stream(), model.stream()
    for step, symbol in enumerate(symbols):
        last = stepped.step(symbol, {"hour": hours[step], "speed": speeds[step]})
    found = absorbed.absorb(symbols, {"hour": hours, "speed": speeds})
    assert np.array_equal(found.probabilities, last.probabilities)
    assert np.array_equal(found.outputs["gap"].values, last.outputs["gap"].values)
    assert all(np.array_equal(absorbed.state[name], array) for name, array in stepped.state.items())
    assert absorbed.symbols_seen == stepped.symbols_seen == 12


@pytest.mark.parametrize(("backend", "file"), RUNTIMES)
def test_running_with_features_answers_as_stepping_does_bit_for_bit(backend, file, wide):
    symbols, hours, speeds = some_inputs(12)
    model = load(wide[1] / file, backend=backend)
    stepped, run = model.stream(), model.stream()
    expected = [
        stepped.step(symbol, {"hour": hours[step], "speed": speeds[step]}).probabilities
        for step, symbol in enumerate(symbols)
    ]
    assert np.array_equal(run.run(symbols, {"hour": hours, "speed": speeds}), expected)
    assert run.to_bytes() == stepped.to_bytes()
    assert run.run([], {"hour": hours[:0], "speed": speeds[:0]}).shape == (0, 7)
    assert run.to_bytes() == stepped.to_bytes()


def test_a_failing_interpreter_leaves_a_stream_with_features_where_it_was_without_an_answer(wide, monkeypatch):
    stream = load(wide[1] / "model.onnx").stream()
    given = {"hour": 1, "speed": np.ones(3)}
    stream.step("a", given)
    before = stream.state

    def failing(id):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(stream._seat.backend, "step", failing)
        with pytest.raises(BackendError, match="failed on model.onnx: no memory. The stream has not moved"):
            stream.step("a", given)
    assert stream.prediction is None
    assert stream.symbols_seen == 1
    assert all(np.array_equal(stream.state[name], array) for name, array in before.items())


def test_running_ids_alone_refuses_a_model_that_reads_features(wide):
    stream = load(wide[1] / "model.onnx").stream()
    stream.step("a", {"hour": 1, "speed": np.ones(3)})
    before = stream.to_bytes()
    with pytest.raises(FeatureMismatchError, match="hour is missing; speed is missing. The state has not moved"):
        stream.run_ids(np.array([1], np.int32))
    assert stream.to_bytes() == before


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "hour is missing; speed is missing"),
        ({"hour": 3}, "speed is missing"),
        ({"hour": 24, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": 2**32, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": -1, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": 1.5, "speed": [0, 0, 0]}, "an id is an integer"),
        ({"hour": 3, "speed": [0, 0]}, r"speed has the shape \(2,\), wanted is \(3,\)"),
        ({"hour": 3, "speed": [0, np.nan, 0]}, "speed is not finite"),
        ({"hour": 3, "speed": "fast"}, "speed cannot be read"),
        ({"hour": 3, "speed": [0, 0, 0], "colour": 1}, "there is no colour"),
        ([1, 2, 3], "without their names"),
    ],
)
def test_features_that_do_not_fit_are_refused_and_the_state_stays(features, problem, wide):
    stream = load(wide[1] / "model.onnx").stream()
    stream.step("a", {"hour": 1, "speed": np.ones(3)})
    before = stream.state
    with pytest.raises(FeatureMismatchError, match=problem):
        stream.step("a", features)
    assert all(np.array_equal(stream.state[name], array) for name, array in before.items())
    assert stream.symbols_seen == 1


def test_a_history_whose_features_are_shorter_is_refused_and_the_state_stays(wide):
    stream = load(wide[1] / "model.onnx").stream()
    with pytest.raises(FeatureMismatchError, match=r"hour has the shape \(2,\), wanted is \(3,\)"):
        stream.absorb("abc", {"hour": [1, 2], "speed": np.ones((3, 3))})
    assert not any(array.any() for array in stream.state.values())


def test_a_symbol_model_refuses_features_and_a_symbol_must_be_given(wide):
    from support.models import DATA

    with pytest.raises(FeatureMismatchError, match="reads no features at each step: there is no hour"):
        load(DATA / "memory.onnx").stream().step("3", {"hour": 1})
    with pytest.raises(UnknownSymbolError, match="None is not in the vocabulary"):
        load(DATA / "memory.onnx").stream().step()


@pytest.fixture(scope="module")
def sensor(tmp_path_factory):
    """Numbers in, numbers out: no symbol anywhere."""
    folder = tmp_path_factory.mktemp("sensor")
    keras.utils.set_random_seed(6)
    model = keras.Sequential([keras.Input((None, 4)), L.GRU(8), L.Dense(2)])
    exported = export(model, folder, values=True, quantize=["float16", "int8"], steps=600)
    return model, folder, exported


@pytest.mark.parametrize("file", ["model.tflite", "model.onnx"])
def test_a_model_of_numbers_alone_is_stepped_by_its_features(file, sensor):
    model, folder, _ = sensor
    given = np.random.default_rng(1).normal(size=(20, 4)).astype("f4")
    stream = load(folder / file).stream()
    for row in given:
        prediction = stream.step(features=row)
    assert np.abs(prediction.values - np.asarray(model(given[None]))[0]).max() < 1e-5
    again = load(folder / file).stream().absorb(features={"features": given})
    assert np.array_equal(again.values, prediction.values)
    with pytest.raises(NoProbabilitiesError, match="answers with values"):
        prediction.symbol  # noqa: B018
    with pytest.raises(UnknownSymbolError):
        stream.step("a", given[0])


def test_values_are_held_against_a_gate_of_their_own(sensor, tmp_path, monkeypatch):
    model, folder, exported = sensor
    assert {p.quantization for p in exported.parity} == {"float32", "float16", "int8"}
    assert check(folder / "model.int8.tflite", model, steps=300)
    louder = answering(lambda answers: {name: answer * 1.2 for name, answer in answers.items()})
    break_export(monkeypatch, "onnx", louder, "int8")
    with pytest.raises(ParityError, match="values have noise of"):
        export(model, tmp_path, formats=["onnx"], values=True, quantize=["int8"], steps=300)


@pytest.mark.parametrize("fault", ["h and c swapped", "never fed back", "only h fed back"])
def test_a_miswired_state_is_noticed_beside_features(fault, tmp_path, monkeypatch):
    break_export(monkeypatch, "onnx", lambda right: miswired(right, fault))
    with pytest.raises(ParityError, match="first at step"):
        export(wide_model(), tmp_path, formats=["onnx"], steps=300)


def test_two_outputs_that_change_places_are_noticed(tmp_path, monkeypatch):
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, return_sequences=True)(L.Embedding(5, 4)(source))
    model = keras.Model(source, [L.Dense(5, activation="softmax", name=name)(x) for name in ("one", "two", "three")])
    swapped = answering(lambda found: {**found, "two": found["three"], "three": found["two"] + 0.0})
    break_export(monkeypatch, "onnx", swapped)
    with pytest.raises(ParityError, match="in t(wo|hree)"):
        export(model, tmp_path, formats=["onnx"], steps=300)


def test_the_input_called_symbol_and_the_output_called_probabilities_are_the_main_ones():
    one, two = keras.Input((None,), dtype="int32", name="other"), keras.Input((None,), dtype="int32", name="symbol")
    x = L.LSTM(6, return_sequences=True)(L.Add()([L.Embedding(4, 3)(one), L.Embedding(5, 3)(two)]))
    outputs = [L.Dense(2, name="aside")(x), L.Dense(5, activation="softmax", name="probabilities")(x)]
    step_function = build_step_function(keras.Model([one, two], outputs))
    assert step_function.symbols == 5
    assert [(f.name, f.ids) for f in step_function.features] == [("other", 4)]
    assert [answer.name for answer in step_function.interface.outputs] == ["probabilities", "aside"]


def test_one_hot_symbols_and_features_go_together(tmp_path):
    symbol, speed = keras.Input((None, 5), name="symbol"), keras.Input((None, 2), name="speed")
    x = L.SimpleRNN(6, return_sequences=True)(L.Concatenate()([symbol, speed]))
    model = keras.Model([symbol, speed], L.Dense(5, activation="softmax")(x))
    export(model, tmp_path, one_hot=True, formats=["onnx"], steps=200)
    manifest = read_model_file(tmp_path / "model.onnx").manifest
    assert (len(manifest.vocabulary), [f.name for f in manifest.features]) == (5, ["speed"])


def test_the_manifest_of_a_wide_model_comes_back_whole(wide):
    manifest = read_model_file(wide[1] / "model.tflite").manifest
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
def test_a_damaged_wide_manifest_is_refused_with_its_problem(change, problem, wide):
    found = read_model_file(wide[1] / "model.tflite").manifest.to_json()
    with pytest.raises(DamagedFileError, match=problem):
        read_manifest(json.dumps({**found, **change}).encode(), "model.tflite")


def test_a_stepcell_that_knows_no_features_asks_to_be_upgraded(wide, monkeypatch):
    manifest = read_model_file(wide[1] / "model.tflite").manifest
    monkeypatch.setattr("stepcell.runtime.format.manifest_reader.NEWEST_FORMAT", 2)
    with pytest.raises(NewerFormatError, match="has format 3"):
        read_manifest(manifest.to_bytes(), "model.tflite")


def test_a_line_is_a_symbol_or_an_object_of_what_is_read(wide, sensor):
    manifest = read_model_file(wide[1] / "model.tflite").manifest
    line = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}'
    assert parse_line(line, manifest) == ("a", {"hour": 3, "speed": [1, 2, 3]})
    for line, error, problem in (
        ("a", FeatureMismatchError, "is not JSON"),
        ("[1]", FeatureMismatchError, "is not a JSON object; wanted is .*symbol.*hour.*speed"),
        ('{"hour": 3}', UnknownSymbolError, "has no symbol"),
    ):
        with pytest.raises(error, match=problem):
            parse_line(line, manifest)
    numbers = read_model_file(sensor[1] / "model.onnx").manifest
    assert parse_line("[1, 2, 3, 4]", numbers) == (None, {"features": [1, 2, 3, 4]})


def test_a_record_holds_features_and_other_fields_that_are_left_out(wide, sensor):
    manifest = read_model_file(wide[1] / "model.tflite").manifest
    line = '{"machine": 7, "event": "a", "hour": 3, "speed": [1, 2, 3], "weather": "fine"}'
    assert parse_json_line(line, manifest, "event", "machine") == ("7", "a", {"hour": 3, "speed": [1, 2, 3]})
    numbers = read_model_file(sensor[1] / "model.onnx").manifest
    assert parse_json_line('{"machine": "x", "features": [1]}', numbers, None, "machine") == (
        "x",
        None,
        {"features": [1]},
    )
    with pytest.raises(OptionError, match="reads no symbols but features: leave out --symbol-field"):
        Session(load(sensor[1] / "model.onnx"), LineOptions(symbol_field="event"), 1, print)


def test_streams_by_key_read_features(wide):
    from typer.testing import CliRunner

    from stepcell.cli import app

    records = [{"k": k, "symbol": "a", "hour": h, "speed": [h, 0, 1]} for h in range(3) for k in "xy"]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    result = CliRunner().invoke(app, ["predict", str(wide[1] / "model.onnx"), "--key", "k", "--json"], input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["stream"], answer["seen"]) for answer in answers] == [(k, n) for n in (1, 2, 3) for k in "xy"]
    assert answers[4]["probability"] == answers[5]["probability"] != answers[2]["probability"]
    line = '{"k": "x", "symbol": "a", "speed": [1, 0, 1]}\n'
    result = CliRunner().invoke(app, ["predict", str(wide[1] / "model.onnx"), "--key", "k"], input=line)
    assert "hour is missing" in result.output


def test_the_command_line_predicts_from_features(wide, monkeypatch):
    from typer.testing import CliRunner

    from stepcell.cli import app

    lines = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}\n{"symbol": "b", "hour": 30, "speed": [1, 2, 3]}\n'
    file = str(wide[1] / "model.onnx")
    result = CliRunner().invoke(app, ["predict", file, "--json"], input=lines)
    assert result.exit_code == 1
    assert "Line 2: model.onnx reads hour" in result.output
    answer = json.loads(result.output.splitlines()[0])
    assert {"input", "symbol", "probability", "gap", "mood"} <= answer.keys()
    assert len(answer["gap"]["values"]) == 2
    assert "hour (id of 24), speed [3]" in CliRunner().invoke(app, ["inspect", file]).output


def test_each_single_step_counts_for_every_output(wide):
    assert {p.start for p in wide[2].parity} == {"initial", "random", EACH}


@pytest.mark.parametrize("file", ["model.tflite", "model.onnx"])
def test_the_doctor_and_the_bench_step_files_that_read_features(file, wide, sensor):
    for folder in (wide[1], sensor[1]):
        found = measure(folder / file, "numpy")
        assert found["golden_error"] <= 1e-5
        assert found["us_per_step"] > 0
        assert measure_variants(folder / file, "numpy", rounds=1).first_us > 0


# ----- many streams at once
ALL_RUNTIMES = [*RUNTIMES, ("numpy", "model.onnx")]


@pytest.mark.parametrize(("backend", "file"), ALL_RUNTIMES)
def test_streams_in_lockstep_read_features_and_answer_every_output_as_each_alone(backend, file, wide):
    model = load(wide[1] / file, backend=backend)
    together, alone = model.streams(5), [model.stream() for _ in range(5)]
    for step in range(6):
        symbols, hours, speeds = some_inputs(5, seed=step)
        found = together.step(symbols, {"hour": hours, "speed": speeds})
        outputs = together.outputs
        for row, stream in enumerate(alone):
            expected = stream.step(symbols[row], {"hour": hours[row], "speed": speeds[row]})
            assert np.abs(found[row] - expected.probabilities).max() <= 1e-6
            assert np.abs(outputs["gap"][row] - expected.outputs["gap"].values).max() <= 1e-5
            assert np.abs(outputs["mood"][row] - expected.outputs["mood"].probabilities).max() <= 1e-6


@pytest.mark.parametrize(("backend", "file"), ALL_RUNTIMES)
def test_members_of_a_fleet_read_features_and_answer_every_output_as_each_alone(backend, file, wide):
    model = load(wide[1] / file, backend=backend)
    fleet, alone = model.fleet(), {key: model.stream() for key in "klmnopqrst"}
    for step in range(6):
        keys = sorted(np.random.default_rng(step).choice(list(alone), 9, replace=False).tolist())  # 8 at once, and 1
        symbols, hours, speeds = some_inputs(9, seed=step)
        features = {key: {"hour": hours[row], "speed": speeds[row]} for row, key in enumerate(keys)}
        answers = fleet.step(dict(zip(keys, symbols, strict=True)), features)
        for row, key in enumerate(keys):
            expected = alone[key].step(symbols[row], features[key])
            assert np.abs(answers[key].probabilities - expected.probabilities).max() <= 1e-6
            assert np.abs(answers[key].outputs["gap"].values - expected.outputs["gap"].values).max() <= 1e-5
            assert answers[key].outputs["mood"].symbol == expected.outputs["mood"].symbol
            assert np.array_equal(answers.outputs["gap"][row], answers[key].outputs["gap"].values)


def test_a_model_of_numbers_alone_is_stepped_many_at_once(sensor):
    model = load(sensor[1] / "model.tflite")
    given = np.random.default_rng(2).normal(size=(3, 4)).astype("f4")
    together, fleet = model.streams(3).step(features=given), model.fleet()
    by_key = fleet.step(dict.fromkeys("abc"), dict(zip("abc", given, strict=True)))
    for row, key in enumerate("abc"):
        expected = model.stream().step(features=given[row]).values
        assert np.abs(together[row] - expected).max() <= 1e-6
        assert np.abs(by_key[key].values - expected).max() <= 1e-6
    with pytest.raises(UnknownSymbolError, match="The fleet has not moved"):
        fleet.step({"a": "x"}, {"a": given[0]})


GOOD = {"hour": 1, "speed": [0.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "'a': .*hour is missing; speed is missing"),
        ({"a": GOOD}, "'b': .*hour is missing; speed is missing"),
        ({"a": GOOD, "b": {**GOOD, "hour": 24}}, "'b': .*hour is not one of 0 to 23"),
        ({"a": GOOD, "b": {**GOOD, "colour": 1}}, "'b': .*there is no colour"),
        ({"a": {**GOOD, "speed": [1.0]}, "b": GOOD}, "'a': .*speed has the shape"),
        ({"a": {**GOOD, "speed": [np.inf, 0, 0]}, "b": GOOD}, "'a': .*speed is not finite"),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, "'a': .*without their names"),
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "features of 'c', but no symbol"),
    ],
)
def test_features_of_a_member_that_do_not_fit_are_named_and_no_member_moves(features, problem, wide):
    fleet = load(wide[1] / "model.onnx").fleet()
    fleet.step({"a": "a"}, {"a": GOOD})
    before = fleet.snapshot("a")
    with pytest.raises(FeatureMismatchError, match=problem):
        fleet.step({"a": "b", "b": "c"}, features)
    after = fleet.snapshot("a")
    assert after.symbols_seen == before.symbols_seen == 1
    assert all(np.array_equal(after.state[name], array) for name, array in before.state.items())
    assert len(fleet) == 1


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "hour is missing; speed is missing"),
        ({"hour": [1], "speed": np.zeros((2, SPEEDS))}, r"hour has the shape \(1,\), wanted is \(2,\)"),
        ({"hour": [1, 24], "speed": np.zeros((2, SPEEDS))}, "hour is not one of 0 to 23"),
    ],
)
def test_features_of_streams_in_lockstep_that_do_not_fit_move_none(features, problem, wide):
    together = load(wide[1] / "model.onnx").streams(2)
    with pytest.raises(FeatureMismatchError, match=problem):
        together.step("ab", features)
    assert not any(array.any() for array in together.state.values())
    assert together.symbols_seen.tolist() == [0, 0]
