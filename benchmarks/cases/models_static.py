"""Models with an input beside the sequence that has no time axis: a vector for each user or machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import Row

_STEPS = 20


def case_M12_vector_per_user(_: Path) -> Row:  # noqa: N802
    """A vector joined with the output of the recurrent layer."""
    keras, x, user = _inputs(None)
    joined = keras.layers.Concatenate()([keras.layers.LSTM(8)(x), keras.layers.Dense(4, "relu")(user)])
    return _stepped("Input((3,)) beside the sequence, joined behind the LSTM", keras.Model([x, user], _last(joined)))


def case_M12_repeated(_: Path) -> Row:  # noqa: N802
    """A vector repeated for each time step."""
    keras, x, user = _inputs(_STEPS)
    joined = keras.layers.Concatenate()([x, keras.layers.RepeatVector(_STEPS)(user)])
    seen = keras.layers.GRU(8, return_sequences=True)(joined)
    return _stepped("RepeatVector and Concatenate before the GRU", keras.Model([x, user], _last(seen)))


def case_M12_modulated(_: Path) -> Row:  # noqa: N802
    """A gate for each unit, from the vector, over all time steps."""
    keras, x, user = _inputs(None)
    gate = keras.ops.expand_dims(keras.layers.Dense(8, "sigmoid")(user), 1)
    seen = keras.layers.LSTM(8, return_sequences=True)(x) * gate
    return _stepped("a gate of the vector, expand_dims", keras.Model([x, user], _last(seen)))


def case_M12_initial_state(_: Path) -> Row:  # noqa: N802
    """A recurrent layer that begins in a state made of the vector."""
    keras, x, user = _inputs(None)
    start = [keras.layers.Dense(8, "tanh")(user), keras.layers.Dense(8)(user)]
    seen = keras.layers.LSTM(8, return_sequences=True)(x, initial_state=start)
    return _stepped("initial_state=[Dense(8)(user), Dense(8)(user)]", keras.Model([x, user], _last(seen)))


def case_M12_window(_: Path) -> Row:  # noqa: N802
    """A window of 20 time steps with a vector for each user."""
    keras, x, user = _inputs(_STEPS)
    joined = keras.layers.Concatenate()([keras.layers.LSTM(8)(x), user])
    return _stepped("a window of 20 and a vector", keras.Model([x, user], _last(joined)))


def case_M12_missing(_: Path) -> Row:  # noqa: N802
    """A stream without its vector is refused."""
    from stepcell.export import export
    from stepcell.runtime import StateMismatchError, load

    keras, x, user = _inputs(None)
    model = keras.Model([x, user], _last(keras.layers.Concatenate()([keras.layers.LSTM(8)(x), user])))
    export(model, "out", values=True, steps=200, formats=("onnx",))
    try:
        load("out/model.onnx").stream(static={"usr": [1, 2, 3]})
        seen = "a stream"
    except StateMismatchError as error:
        seen = "; ".join(part for part in ("user is missing", "no static input usr") if part in str(error))
    return Row("a stream with a wrong name", "user is missing; no static input usr", seen)


def _inputs(steps: int | None) -> tuple[Any, Any, Any]:
    import keras

    keras.utils.set_random_seed(1)
    return keras, keras.Input((steps, 4), name="x"), keras.Input((3,), name="user")


def _last(seen: Any) -> Any:
    import keras

    return keras.layers.Dense(2)(seen)


def _stepped(what: str, model: Any) -> Row:
    """Export, step three users, and compare with Keras on the whole sequence."""
    from stepcell.export import export
    from stepcell.runtime import load

    export(model, "out", values=True, steps=500)
    random, worst = np.random.default_rng(0), 0.0
    for name in ("model.tflite", "model.onnx"):
        loaded = load(f"out/{name}")
        for _ in range(3):
            rows, user = random.normal(size=(_STEPS, 4)).astype("f4"), random.normal(size=3).astype("f4")
            expected = np.asarray(model([rows[None], user[None]]))[0].reshape(-1, 2)[-1]
            found = loaded.stream(static={"user": user}).run(None, rows)[-1]
            worst = max(worst, float(np.abs(found - expected).max()))
    return Row(what, "steps as Keras", "steps as Keras" if worst <= 1e-5 else f"off by {worst:.2g}")
