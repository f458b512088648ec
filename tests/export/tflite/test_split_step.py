"""The pieces of a step: a row looked up once, a step from it, and that a fault in any piece is noticed."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from support.broken_export import miswired
from support.keras_models import sharp_model
from support.sealed import write_model

from stepcell.export import ParityError, build_step_function, export
from stepcell.export.tflite import convert as tflite
from stepcell.export.tflite import split_step
from stepcell.runtime import GoldenMismatchError, load, read_model_file
from stepcell.runtime.interpreters import input_slot as entry_module
from stepcell.runtime.interpreters.batch import TfliteBatch
from stepcell.runtime.interpreters.registry import open_backend
from stepcell.runtime.interpreters.tflite_backend import open_backend as open_tflite_backend
from stepcell.runtime.interpreters.tflite_backend import open_interpreter

L = keras.layers
SEQUENCES = {"return_sequences": True}
SOFTMAX = {"activation": "softmax"}


def twice():
    """A model whose symbol is looked up in two tables."""
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, **SEQUENCES)(L.Embedding(7, 5)(source))
    return keras.Model(source, L.Dense(7, **SOFTMAX)(L.Concatenate()([x, L.Embedding(7, 3)(source)])))


def masked():
    """A model that also asks whether its symbol is 0."""
    source = keras.Input((None,), dtype="int32")
    return keras.Model(source, L.Dense(7, **SOFTMAX)(L.GRU(6, **SEQUENCES)(L.Embedding(7, 5, mask_zero=True)(source))))


def window():
    """A model whose state is in no product of a matrix."""
    source = keras.Input((None,), dtype="int32")
    x = L.Conv1D(6, 3, padding="causal", activation="tanh")(L.Embedding(7, 5)(source))
    return keras.Model(source, L.Dense(7, **SOFTMAX)(x))


PIECES = {
    "lstm": (lambda: sharp_model("lstm", 1), {"look_up", "step_row", "finish", "prepare"}),
    "two gru": (lambda: sharp_model("gru", 2), {"look_up", "step_row", "finish", "prepare"}),
    "two tables": (twice, {"finish", "prepare"}),
    "masked": (masked, {"finish", "prepare"}),
    "window": (window, {"look_up", "step_row"}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    return {
        (name, precision): write_model(
            build_step_function(model()),
            folder / f"{name.replace(' ', '_')}.{precision}.tflite",
            quantization=precision,
        )
        for name, (model, _) in PIECES.items()
        for precision in ("float32", "int8")
    }


@pytest.mark.parametrize("name", PIECES)
def test_a_step_is_cut_where_it_can_be(name, files):
    interpreter = open_interpreter("litert", read_model_file(files[name, "float32"]).payload)
    assert set(interpreter.get_signature_list()) == {"step", "absorb", *PIECES[name][1]}


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", PIECES)
def test_a_step_from_the_row_gives_the_bits_of_a_step_from_the_symbol(name, precision, files):
    file = read_model_file(files[name, precision])
    quick, public = open_backend("litert", file), open_tflite_backend("litert", file, public=True)
    for id in np.random.default_rng(0).integers(0, 7, 500).tolist():
        quick.step(id)
        public.step(id)
        assert np.array_equal(quick.answer(), public.answer())
    assert all(np.array_equal(quick.read_state()[n], array) for n, array in public.read_state().items())


def test_a_row_is_looked_up_once_for_each_symbol(files, monkeypatch):
    backend = open_backend("litert", read_model_file(files["lstm", "float32"]))
    made = []
    right = backend.entry._make
    monkeypatch.setattr(backend.entry, "_make", lambda number: made.append(number) or right(number))
    for id in (3, 1, 3, 3, 0, 1):
        backend.step(id)
    assert made == [3, 1, 0]


def test_rows_of_a_large_table_do_not_fill_the_memory(files, monkeypatch):
    model = load(files["lstm", "float32"], backend="litert")
    slot = model._seat.backend.entry
    size = len(slot.buffer)
    monkeypatch.setattr(entry_module, "_MOST_BYTES", 3 * size)
    stream, again = model.stream(), load(files["lstm", "float32"], backend="litert").stream()
    for symbol in "01234560654321012345":
        assert np.array_equal(stream.step(symbol).values, again.step(symbol).values)
        assert sum(content is not None for content in slot.cache) <= 3


def test_states_and_next_states_lie_alike_in_a_step_from_the_row(files):
    for name in ("lstm", "two gru"):
        assert len(open_backend("litert", read_model_file(files[name, "float32"])).feedback) == 1


def wrong_row(right):
    """`look_up` that takes the rows of a table in the opposite order."""

    def look_up(self):
        class Reversed(type(self._arithmetic)):
            def gather(self, table, ids):
                return super().gather(table, table.shape[0] - 1 - ids)

        self._arithmetic, kept = Reversed(), self._arithmetic
        try:
            graph = right(self)
            graph.get_concrete_function()
            return graph
        finally:
            self._arithmetic = kept

    return look_up


def swapped_states(right):
    """A graph of a step whose h and c change places."""

    def step(self, given):
        outputs = right(self, given)
        return {**outputs, "next_h0": outputs["next_c0"], "next_c0": outputs["next_h0"]}

    return step


def test_a_wrong_row_is_noticed_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(split_step._Splitter, "look_up", wrong_row(split_step._Splitter.look_up))
    with pytest.raises(ParityError, match="ai-edge-litert"):
        export(sharp_model("lstm", 1), tmp_path, formats=["tflite"], steps=200)
    assert list(tmp_path.iterdir()) == []


def test_states_that_change_places_in_the_pieces_alone_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(split_step._Splitter, "_step", swapped_states(split_step._Splitter._step))
    with pytest.raises(ParityError, match="ai-edge-litert"):
        export(sharp_model("lstm", 1), tmp_path, formats=["tflite"], steps=200)
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_is_wrong_from_the_symbol_alone_is_noticed_where_nothing_steps_it_first(tmp_path, monkeypatch):
    right = tflite.step_graph

    def wrong(step_function, arithmetic):
        return right(replace(step_function, advance=miswired(step_function.advance, "only h fed back")), arithmetic)

    monkeypatch.setattr(tflite, "step_graph", wrong)
    monkeypatch.setattr("stepcell.export.workshop.installed_backends", lambda *_: ("litert",))
    with pytest.raises(ParityError, match="in a batch it answers otherwise"):
        export(sharp_model("lstm", 1), tmp_path, formats=["tflite"], steps=200)
    assert list(tmp_path.iterdir()) == []


def test_many_streams_replay_the_golden_sequence_before_they_answer(tmp_path, monkeypatch):
    export(sharp_model("lstm", 1), tmp_path, formats=["tflite"], steps=200)
    model = load(tmp_path / "model.tflite", backend="litert")
    model.streams(3)
    right = TfliteBatch.feed_back

    def forgetful(self):
        right(self)
        self._state["c0"][-1] = 0  # of the last stream alone

    monkeypatch.setattr(TfliteBatch, "feed_back", forgetful)
    with pytest.raises(GoldenMismatchError):
        model.streams(3)
    with pytest.raises(GoldenMismatchError):
        model.fleet().step({"a": "1", "b": "2"})
    assert len(load(tmp_path / "model.tflite", backend="litert", golden=False).streams(3)) == 3
