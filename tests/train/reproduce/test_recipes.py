"""The published recipes: they run as published, on the data of the tutorials, and measure what they say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest

from stepcell.runtime.common.errors import ProblemError
from stepcell.train.reproduce import alphabet
from stepcell.train.reproduce.alphabet import AlphabetStateful, AlphabetVariable, AlphabetWindow, draw
from stepcell.train.reproduce.echo import EchoCurrent, EchoPrevious
from stepcell.train.reproduce.memory import SEQUENCES, MemoryRecipe
from stepcell.train.reproduce.recipe import answers, compiled, one_hot, show, stepped
from stepcell.train.reproduce.tutorials import CLAIMS

SEQUENCE = np.random.default_rng(0).integers(0, 100, 25, dtype=np.int32)
BRIEF = {claim.name: replace(claim.recipe, epochs=2) for claim in CLAIMS}


@cache
def first_run(name):
    """Return the outcome of two epochs with seed 5, and what was reported on the way."""
    shares = []
    return BRIEF[name].run(5, shares.append), shares


@pytest.mark.parametrize(
    "name",
    [
        "alphabet-batch",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("memory", "echo-current", "echo-context", "alphabet-stateful")
        ),
    ],
)
def test_every_recipe_runs_and_reports_its_progress(name):
    outcome, shares = first_run(name)
    assert shares == [0.5, 1.0]
    assert outcome.cpu_seconds > 0
    figures = [value for value in outcome.details.values() if not isinstance(value, str)]
    assert all(0 <= figure <= 1 for figure in (outcome.accuracy, outcome.streamed, *figures))


@pytest.mark.slow
def test_features_side_by_side_have_no_streamed_figure():
    assert first_run("alphabet-features")[0].streamed is None


@pytest.mark.slow
def test_the_recipe_of_variable_length_measures_inputs_without_padding(monkeypatch):
    monkeypatch.setattr(alphabet, "SAMPLES", 30)
    outcome = BRIEF["alphabet-variable"].run(0)
    assert set(outcome.details) == {"chance", "single letters", "not padded"}
    assert outcome.accuracy * 30 == pytest.approx(round(outcome.accuracy * 30))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "echo-context", "alphabet-features"])
def test_the_same_seed_gives_the_same_outcome(name):
    again = BRIEF[name].run(5)
    assert replace(again, cpu_seconds=0.0) == replace(first_run(name)[0], cpu_seconds=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "alphabet-features"])  # many fits of one epoch, one fit of many
def test_ctrl_c_ends_a_run(name):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BRIEF[name].run(0, interrupt)


@pytest.mark.slow
def test_the_updates_are_those_of_fit_to_the_bit():
    x, y = np.random.default_rng(0).random((2, 7, 3, 4), np.float32)
    weights = []
    for train in (
        lambda model: model.fit(x, y[:, -1], batch_size=2, epochs=3, shuffle=False, verbose=0),
        lambda model: [show(model, x, y[:, -1], 2) for _ in range(3)],
    ):
        keras.utils.set_random_seed(1)
        model = compiled([keras.Input((3, 4)), keras.layers.LSTM(5), keras.layers.Dense(4, activation="softmax")])
        train(model)
        weights.append(model.get_weights())
    assert all(map(np.array_equal, *weights))


@pytest.mark.slow
def test_many_updates_in_a_call_are_the_same_to_the_bit():
    x, y = np.random.default_rng(0).random((2, 7, 3, 4), np.float32)
    weights = []
    for at_once in (1, 3):
        keras.utils.set_random_seed(1)
        layers = [keras.Input((3, 4)), keras.layers.LSTM(5), keras.layers.Dense(4, activation="softmax")]
        model = compiled(layers, at_once=at_once)
        model.fit(x, y[:, -1], batch_size=1, epochs=3, verbose=0)
        weights.append(model.get_weights())
    assert all(map(np.array_equal, *weights))


def test_the_published_values_are_the_defaults():
    assert {claim.name: claim.recipe.epochs for claim in CLAIMS} == {
        "memory": 250,
        "echo-current": 500,
        "echo-mistake": 2_000,
        "echo-context": 2_000,
        "alphabet-letter": 500,
        "alphabet-features": 500,
        "alphabet-steps": 500,
        "alphabet-batch": 5_000,
        "alphabet-stateful": 300,
        "alphabet-variable": 500,
    }
    assert all(0 <= claim.accuracy <= 1 and claim.source.startswith("https://") for claim in CLAIMS)


def test_only_the_first_symbol_of_a_memory_sequence_tells_the_last():
    assert np.array_equal(SEQUENCES[0, 1:-1], SEQUENCES[1, 1:-1])
    assert np.array_equal(SEQUENCES[:, 0], SEQUENCES[:, -1])


def test_a_frozen_recurrent_layer_leaves_the_readout_to_be_trained():
    frozen, published = MemoryRecipe(frozen=True).build(), MemoryRecipe().build()
    assert (len(frozen.trainable_weights), len(published.trainable_weights)) == (2, 5)


def test_the_mistaken_echo_is_asked_for_the_number_before_in_four_batches_of_six():
    inputs, targets = EchoPrevious().samples(SEQUENCE)
    assert inputs.shape == (24, 1)
    assert np.array_equal(inputs[:-1, 0], targets[1:])
    assert targets[0] == SEQUENCE[0]  # which is never shown


def test_with_batches_of_six_the_carried_row_holds_the_number_six_steps_back():
    keras.utils.set_random_seed(1)
    model = EchoPrevious().build()
    inputs, _ = EchoPrevious().samples(SEQUENCE)
    shown = one_hot(inputs, 100)  # (24, 1, 100)
    model.layers[0].reset_state()
    in_batches = np.concatenate([model.predict_on_batch(batch) for batch in np.split(shown, 4)])
    every_sixth = np.stack([shown[row::6, 0] for row in range(6)])  # six sequences of four numbers
    as_sequences = stepped(model).predict_on_batch(every_sixth)  # (6, 4, 100)
    assert np.abs(in_batches.reshape(4, 6, -1).transpose(1, 0, 2) - as_sequences).max() < 1e-6


def test_with_batches_of_one_the_network_answers_as_if_stepped():
    keras.utils.set_random_seed(1)
    recipe = EchoPrevious(batch=1)
    model = recipe.build()
    shown = one_hot(recipe.samples(SEQUENCE)[0], 100)
    assert np.array_equal(answers(model, shown, 1), answers(stepped(model), shown.transpose(1, 0, 2), 1)[0])


def test_a_whole_sequence_is_the_data_of_the_mistake_in_one_sample():
    inputs, targets = EchoPrevious(batch=1).samples(SEQUENCE)
    whole_inputs, whole_targets = EchoPrevious(batch=1, whole_sequence=True).samples(SEQUENCE)
    assert np.array_equal(whole_inputs[0], inputs[:, 0])
    assert np.array_equal(whole_targets[0], targets)


def test_the_context_of_five_contains_the_answer():
    inputs, targets = EchoPrevious(context=5, batch=5).samples(SEQUENCE)
    assert inputs.shape == (20, 5)
    assert np.array_equal(inputs[:, 3], targets)
    assert np.array_equal(inputs[0], SEQUENCE[1:6])
    assert np.array_equal(inputs[-1], SEQUENCE[-5:])


def test_the_contexts_of_five_in_batches_of_five_make_each_row_an_unbroken_stream():
    inputs, _ = EchoPrevious(context=5, batch=5).samples(SEQUENCE)
    for row in range(5):
        assert np.array_equal(inputs[row::5].ravel(), SEQUENCE[row + 1 : row + 21])


def test_the_echo_can_be_built_without_carried_state():
    assert not EchoPrevious(context=5, batch=5, stateful=False).build().layers[0].stateful
    assert EchoPrevious(context=5, batch=5).build().layers[0].stateful


def test_a_window_is_shown_side_by_side_or_one_after_the_other():
    windows = np.array([[0, 1, 2], [13, 14, 15]])
    assert AlphabetWindow(window=3, as_features=True).inputs(windows).tolist()[1] == [
        pytest.approx([0.5, 14 / 26, 15 / 26])
    ]
    assert AlphabetWindow(window=3).inputs(windows).shape == (2, 3, 1)


def test_variable_inputs_are_one_to_five_letters_that_end_before_z():
    first, last = draw(np.random.default_rng(0))
    assert len(first) == 1_000
    assert set(last - first + 1) == {1, 2, 3, 4, 5}
    assert (first.min(), first.max()) == (0, 23)
    assert last.max() == 24


def test_the_published_padding_is_the_code_of_a_and_the_mask_is_no_letter():
    first, last = np.array([0, 2]), np.array([1, 2])  # AB and C
    assert AlphabetVariable().padded(first, last)[..., 0].tolist() == [
        pytest.approx([0, 0, 0, 0, 1 / 26]),
        pytest.approx([0, 0, 0, 0, 2 / 26]),
    ]
    masked = AlphabetVariable(masked=True).padded(first, last)[..., 0]
    assert masked[:, :3].tolist() == [[-1, -1, -1]] * 2
    assert masked[0, 3] == 0


def test_values_that_make_no_recipe_are_refused_all_at_once():
    with pytest.raises(ProblemError, match="0 epochs.*a divisor of the 24 samples"):
        EchoPrevious(epochs=0, batch=7)
    with pytest.raises(ProblemError, match="not 1 and 6"):
        EchoPrevious(whole_sequence=True)
    with pytest.raises(ProblemError, match="output 'relu'"):
        MemoryRecipe(output="relu")
    for make, problem in itertools.product((EchoCurrent, AlphabetStateful, AlphabetVariable), ("0 epochs",)):
        with pytest.raises(ProblemError, match=problem):
            make(epochs=0)
    with pytest.raises(ProblemError, match="a window of 26 letters.*0 units.*a batch of -1"):
        AlphabetWindow(window=26, units=0, batch=-1)
