"""One helper that makes the same checks for every layer rule."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from support.keras_models import SYMBOLS, with_random_weights

from stepcell.export import StepFunction, build_step_function
from stepcell.export.ops import NumpyOps
from stepcell.export.ops.tensorflow_ops import TensorFlowOps
from stepcell.export.step_function.run import run_numpy
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state

L = keras.layers
STEPS = 24
TOLERANCE = 2e-5  # Keras computes in float32


def model_around(body: Callable) -> keras.Model:
    """A model whose body, a layer or a function of a tensor, reads the output of a layer with a state, (B, T, 6)."""
    source = keras.Input((None,), dtype="int32")
    x = body(L.Conv1D(6, 2, padding="causal", activation="tanh")(L.Embedding(SYMBOLS, 5)(source)))
    return with_random_weights(keras.Model(source, L.Dense(SYMBOLS, activation="softmax")(x)))


def run_rule_test(model: keras.Model, steps: int = STEPS) -> StepFunction:
    """Check everything that must hold for every layer rule in `model`, and return its step function.

    - Stepped in float64 from the start, the model answers as Keras does to the whole sequence: at each step that
      answers, or at the last one if Keras answers once.
    - A sequence cut in two, with the state carried over, has the same answers and the same last state.
    - Streams of a batch do not disturb each other.
    - TensorFlow computes the same outputs and next states from the same state, in the shapes of the state.
    """
    step_function = build_step_function(model)
    ids = np.random.default_rng(3).integers(0, step_function.symbols, steps, dtype=np.int32)
    ids[:2] = ids[5:7] = 0  # masked, where symbol 0 is
    start = initial_state(step_function.state)
    (stepped,) = run_numpy(step_function, Inputs(ids), [start])
    whole = np.asarray(model(ids[None], training=False))[0]
    answers = stepped.probabilities
    answered = [step for step in range(steps) if step_function.answers.answers_at(step + 1)]
    assert whole.ndim == 1 or len(whole) == len(answered)
    assert np.abs(whole - answers[answered if whole.ndim == 2 else answered[-1]]).max() < TOLERANCE

    (first,) = run_numpy(step_function, Inputs(ids[:9]), [start])
    middle = {name: array[-1:] for name, array in first.states.items()}
    second, alone = run_numpy(step_function, Inputs(ids[9:]), [middle, start])
    assert np.abs(second.probabilities - answers[9:]).max() < 1e-9
    assert all(np.abs(array[-1] - stepped.states[name][-1]).max() < 1e-9 for name, array in second.states.items())
    (by_itself,) = run_numpy(step_function, Inputs(ids[9:]), [start])
    assert np.abs(alone.probabilities - by_itself.probabilities).max() < 1e-9

    state = {name: np.concatenate([array[:1], array[-1:]]).astype(np.float32) for name, array in stepped.states.items()}
    symbols = {"symbol": ids[-2:]}
    right, following = step_function.advance(NumpyOps(), symbols, {n: a.astype(np.float64) for n, a in state.items()})
    found, after = step_function.advance(
        TensorFlowOps(), {"symbol": tf.constant(ids[-2:])}, {name: tf.constant(array) for name, array in state.items()}
    )
    for name, array in {**found, **after}.items():
        assert np.abs(np.asarray(array) - {**right, **following}[name]).max() < TOLERANCE
    assert {t.name: (2, *t.shape) for t in step_function.state} == {n: tuple(a.shape) for n, a in after.items()}
    return step_function
