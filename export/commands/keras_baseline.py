"""What a step of the same model costs in Keras, for `stepcell bench --keras`."""

from __future__ import annotations

from collections.abc import Sequence
from time import thread_time_ns
from typing import Any

import numpy as np
import tensorflow as tf

from ...runtime.bench.variants import Variant
from ...runtime.common.arrays import Ids
from ...runtime.streams.model import Model
from ..layers.keras_graph import KerasModel
from ..parity.sample_inputs import random_inputs
from ..step_function.build import build_step_function


def keras_ways(keras_model: KerasModel, *, one_hot: bool = False) -> Any:
    """Return what gives the ways to step `keras_model`: a function of the loaded file, for `measure_variants`.

    Each is a call with one time step, without a state carried: what Keras charges for a call, whatever it computes.
    """
    interface = build_step_function(keras_model, one_hot=one_hot).interface
    inputs = random_inputs(interface, 1, 0)
    given: list[Any] = []
    for number in range(len(keras_model.inputs)):
        if number == interface.symbol:
            row = np.eye(interface.symbols, dtype=np.float32)[inputs.ids] if interface.one_hot else inputs.ids
        else:
            row = inputs.features[interface.features[number].name]
        given.append(tf.constant(row[None]))
    x = given[0] if len(given) == 1 else given
    compiled = tf.function(lambda value: keras_model(value, training=False))
    steps = {
        "tf.function of the Keras model": lambda: compiled(x),
        "Keras model(x)": lambda: keras_model(x, training=False),
        "Keras model.predict(x)": lambda: keras_model.predict(x, verbose=0),
    }

    def ways(model: Model) -> Sequence[Variant]:
        counts = zip(steps.items(), (50, 10, 3), strict=True)
        return [Variant(name, _loop(step), symbols=count) for (name, step), count in counts]

    return ways


def _loop(step: Any) -> Any:
    step()  # the first call compiles

    def loop(ids: Ids) -> tuple[int, int]:
        start = thread_time_ns()
        for _ in range(len(ids)):
            step()
        return thread_time_ns() - start, len(ids)

    return loop
