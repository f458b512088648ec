"""Windows: an answer is what Keras predicts for the last N time steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import build_broken, expected_of, prove
from support.keras_models import with_random_weights

from stepcell.export import NotSteppableError, ParityError, check, export
from stepcell.export.c.write import write_c
from stepcell.export.model_files import build_file
from stepcell.export.prepare import describe_past, prepare
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime import StateMismatchError, load, read_model_file
from stepcell.runtime.format.describe import describe_manifest
from stepcell.runtime.format.tensor_specs import AnswerTimes, Inputs, Window
from stepcell.runtime.interpreters.base import initial_state

L = keras.layers
N = 6
SEQUENCES = {"return_sequences": True}


def window(*layers, length=N):
    return with_random_weights(keras.Sequential([keras.Input((length, 3), name="x"), *layers]))


def attention():
    source = keras.Input((N, 3), name="x")
    x = L.GRU(4, **SEQUENCES)(source)
    x = L.GlobalAveragePooling1D()(L.Add()([x, L.MultiHeadAttention(2, 3)(x, x)]))
    return with_random_weights(keras.Model(source, L.Dense(2)(x)))


def forecast():
    return window(L.LSTM(4), L.RepeatVector(3), L.LSTM(4, **SEQUENCES), L.TimeDistributed(L.Dense(2)))


ROWS = {
    "relu": lambda: window(L.LSTM(5, activation="relu"), L.Dense(1)),
    "two layers": lambda: window(L.LSTM(5, **SEQUENCES), L.Dropout(0.2), L.GRU(4), L.Dense(3, "relu"), L.Dense(1)),
    "normalized": lambda: window(L.GRU(5, **SEQUENCES), L.BatchNormalization(), L.GRU(5), L.Dense(1)),
    "masked": lambda: window(L.Masking(0.0), L.LSTM(4), L.Dense(1)),
    "valid and pooled": lambda: window(L.Conv1D(4, 2), L.MaxPooling1D(2), L.LSTM(4), L.Dense(1)),
    "strides that leave a rest": lambda: window(L.Conv1D(4, 3, strides=2), L.SimpleRNN(4), L.Dense(1)),
    "flattened": lambda: window(L.LSTM(4, **SEQUENCES), L.Flatten(), L.Dropout(0.2), L.Dense(3, "tanh"), L.Dense(1)),
    "averaged": lambda: window(L.LSTM(4, **SEQUENCES), L.GlobalAveragePooling1D(), L.Dense(1)),
    "masked and averaged": lambda: window(
        L.Masking(0.0), L.LSTM(4, **SEQUENCES), L.GlobalAveragePooling1D(), L.Dense(1)
    ),
    "the largest": lambda: window(L.Conv1D(4, 3), L.GlobalMaxPooling1D(), L.Dense(1)),
    "no recurrent layer": lambda: window(L.Flatten(), L.Dense(3)),
}


def encoder_and_decoder():
    source = keras.Input((N, 3), name="x")
    code, *states = L.LSTM(4, return_state=True)(source)
    y = L.LSTM(4, **SEQUENCES)(L.RepeatVector(3)(code), initial_state=states)
    return with_random_weights(keras.Model(source, L.TimeDistributed(L.Dense(2))(y)))


ANEW = {
    "the states of an encoder": encoder_and_decoder,
    "both ways": lambda: window(L.Bidirectional(L.LSTM(3)), L.Dense(1)),
    "backwards": lambda: window(L.GRU(3, go_backwards=True), L.Dense(1)),
    "the same length": lambda: window(L.Conv1D(3, 3, padding="same"), L.GRU(3), L.Dense(1)),
    "attention": attention,
    "a forecast": forecast,
}

LONGER = [name for name in ANEW if name != "a forecast"]


def stepped(step_function, x):
    """The outputs at all steps, in float64."""
    name = step_function.features[0].name
    ids = np.zeros(len(x), np.int32)
    return run_numpy(step_function, Inputs(ids, {name: x}), [initial_state(step_function.state)])[0].probabilities


def inputs(steps=25):
    x = np.random.default_rng(3).normal(size=(steps, 3)).astype(np.float32)
    x[::4] = 0  # masked, where there are masks
    return x


def predicted(model, x, length=N):
    windows = np.lib.stride_tricks.sliding_window_view(x, length, axis=0).transpose(0, 2, 1)
    answers = np.asarray(model(windows.copy(), training=False))
    return answers.reshape(len(answers), -1)


@pytest.mark.parametrize("name", [*ROWS, "a forecast", *(pytest.param(n, marks=pytest.mark.slow) for n in LONGER)])
def test_each_answer_is_the_prediction_of_the_last_window(name):
    model = {**ROWS, **ANEW}[name]()
    step_function = prepare(model).step_function
    assert step_function.window == Window(N, "rows" if name in ROWS else "recompute")
    assert step_function.answers == AnswerTimes(N)
    found = stepped(step_function, inputs())
    assert np.abs(found[N - 1 :] - predicted(model, inputs())).max() < 1e-5


@pytest.mark.slow
def test_the_recipe_of_the_tutorials_predicts_what_keras_predicts(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 1)), L.LSTM(8, activation="relu"), L.Dense(1)])
    exported = export(model, tmp_path, formats=["onnx"], steps=100)
    assert exported.notes[-1].startswith("a window: an answer depends on the last 3 time steps alone")
    shown = describe_manifest(tmp_path / "model.onnx", read_model_file(tmp_path / "model.onnx").manifest)
    assert "answers      1 values; from step 3 on; from a window of 3 time steps, in 3 staggered rows\n" in shown
    stream = load(tmp_path / "model.onnx", backend="onnxruntime").stream()
    answers = [stream.step(features=[number]) for number in (5.0, 70.0, 80.0, 90.0)]
    assert answers[:2] == [None, None]
    last = float(np.asarray(model(np.array([[[70.0], [80.0], [90.0]]], np.float32)))[0, 0])
    assert float(answers[-1].values[0]) == pytest.approx(last, rel=1e-5)
    comparisons = write_c(tmp_path / "model.onnx", tmp_path / "c", steps=20).comparisons
    assert {each.runtime.split(" ")[0] for each in comparisons} == {"numpy,", "onnxruntime"}
    with pytest.raises(StateMismatchError) as refused:
        check(tmp_path / "model.onnx", window(L.LSTM(8), L.Dense(1), length=3), steps=20)
    assert "features features [1] and not x [3]" in str(refused.value)


def test_any_model_can_be_given_a_window_and_a_model_of_windows_can_be_carried():
    source = keras.Input((None, 3), name="x")
    free = with_random_weights(keras.Model(source, L.Dense(2)(L.LSTM(4, **SEQUENCES)(source))))
    assert prepare(free).step_function.window is None
    last = predicted(keras.Model(source, free(source)[:, -1]), inputs(), 4)
    given = prepare(free, window=4).step_function
    assert given.window == Window(4, "rows")
    assert np.abs(stepped(given, inputs())[3:] - last).max() < 1e-5
    alone = describe_past(prepare(free, window=1).step_function)
    assert alone == "a window of a single time step: an answer depends on its own step alone, and nothing is carried"
    carried = prepare(ROWS["two layers"](), carried=True).step_function
    assert carried.window is None
    assert describe_past(carried).endswith(f"beyond the {N} time steps that the model was built for")


def stateful():
    source = keras.Input(batch_shape=(1, N, 3))
    return keras.Model(source, L.Dense(1)(L.LSTM(4, stateful=True)(source)))


@pytest.mark.parametrize(("make", "options", "reason"), [
    (ROWS["relu"], {"window": 0}, "window of 0 time steps was asked for; give 1 or more"),
    (ROWS["relu"], {"window": 9}, "window of 9 time steps was asked for; it is built for 6"),
    (ROWS["relu"], {"window": 6, "carried": True}, "give one of the two"),
    (stateful, {"window": 6}, "is stateful"),
])  # fmt: skip
def test_a_window_that_does_not_fit_is_refused(make, options, reason):
    with pytest.raises(NotSteppableError, match=reason):
        prepare(make(), **options)


def test_a_window_shorter_than_its_convolutions_is_refused():
    source = keras.Input((None, 3), name="x")
    model = keras.Model(source, L.Dense(2)(L.GRU(3)(L.Conv1D(4, 5)(source))))
    with pytest.raises(NotSteppableError, match="window of 3 time steps"):
        prepare(model, window=3)


def test_each_window_begins_in_the_given_state(device, tmp_path):
    model = ROWS["relu"]()
    start = {"h0": np.linspace(-0.5, 0.5, 5), "c0": np.linspace(0.2, 0.8, 5)}
    prepared = prepare(model, initial_state=start)
    source = keras.Input((N, 3))
    lstm = model.layers[0](source, initial_state=[np.float32(start[name])[None] for name in ("h0", "c0")])
    expected = predicted(keras.Model(source, model.layers[1](lstm)), inputs())
    assert np.abs(stepped(prepared.step_function, inputs())[N - 1 :] - expected).max() < 1e-5
    prove(build_file(prepared, "onnx", "float32", tmp_path), expected_of(prepared, steps=60), device)
    with pytest.raises(StateMismatchError, match="warm-up"):
        prepare(keras.Sequential([keras.Input((N,), dtype="int32"), L.Embedding(3, 2), L.LSTM(3), L.Dense(3)]),
                warm_up=["1", "2"])  # fmt: skip


def shifted(advance):
    """Rows that move two places."""

    def wrong(a, values, before):
        answers, after = advance(a, values, before)
        return answers, {name: a.shift(x, np.zeros((1, *x.shape[2:]), np.float32)) for name, x in after.items()}

    return wrong


def never_fresh(advance):
    """A last row that begins as the row before it is."""

    def wrong(a, values, before):
        answers, after = advance(a, values, before)
        return answers, {name: a.concatenate([x[:, :-1], x[:, -2:-1]], 0) for name, x in after.items()}

    return wrong


def wrong_row(advance):
    """A head that reads a row too young."""

    def wrong(a, values, before):
        young = {name: a.concatenate([x[:, 1:], x[:, :1]], 0) for name, x in before.items()}
        return advance(a, values, young)[0], advance(a, values, before)[1]

    return wrong


@pytest.fixture(scope="module")
def proven():
    prepared = prepare(ROWS["two layers"]())
    return prepared, expected_of(prepared, steps=80)


@pytest.mark.parametrize("fault", [shifted, never_fresh, wrong_row])
def test_rows_that_are_miswired_are_noticed(fault, proven, device, tmp_path):
    prepared, expected = proven
    with pytest.raises(ParityError):
        prove(build_broken(prepared, fault, "onnx", tmp_path), expected, device)


def test_a_window_has_no_graph_of_sequences(tmp_path):
    model = keras.Sequential([keras.Input((N,), dtype="int32"), L.Embedding(3, 2), L.LSTM(3), L.Dense(3, "softmax")])
    with pytest.raises(NotSteppableError, match="depends on a window of 6 time steps"):
        export(model, tmp_path / "out", sequence=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", "strides that leave a rest", "flattened", "both ways"])
def test_every_file_of_a_window_equals_keras_over_ten_thousand_steps(name, tmp_path):
    exported = export({**ROWS, **ANEW}[name](), tmp_path, quantize=["float16", "int8"])
    assert all(parity.holds for parity in exported.parity)
    assert max(parity.max_abs_error for parity in exported.parity if parity.quantization == "float32") <= 1e-5
    for path in exported.files[:-1]:
        stream = load(path, backend="numpy").stream()
        answers = [stream.step(features=row) for row in inputs()]
        assert [answer is None for answer in answers] == [step < N - 1 for step in range(25)]


def test_inputs_of_different_lengths_are_refused_with_both():
    one, other = keras.Input((8, 2), name="one"), keras.Input((4, 1), name="other")
    model = keras.Model([one, other], L.Dense(1)(L.Concatenate()([L.LSTM(3)(one), L.GRU(3)(other)])))
    with pytest.raises(NotSteppableError, match=r"different numbers of time steps \(one 8, other 4\)"):
        prepare(model)
