"""Recurrent cells as people write them with Keras: none has a step rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

L, ops = keras.layers, keras.ops


@keras.saving.register_keras_serializable("cells")
class MinGRUCell(L.Layer):
    """Feng et al. 2024, Were RNNs all we needed: the gate does not see the state."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 2 * self.units), name="kernel")
        self.bias = self.add_weight(shape=(2 * self.units,), name="bias")
        self.built = True

    def call(self, x: Any, states: Any) -> Any:
        gate, new = ops.split(ops.matmul(x, self.kernel) + self.bias, 2, axis=-1)
        gate = ops.sigmoid(gate)
        h = (1 - gate) * states[0] + gate * new
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class _Square(L.Layer):
    """An input kernel and a recurrent one."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")
        self.built = True

    def new(self, x: Any, h: Any) -> Any:
        return ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("cells")
class LeakyCell(_Square):
    """It begins at 0.3, and its gelu is the exact one; it has the argument `training`."""

    def get_initial_state(self, batch_size: int) -> list[Any]:
        return [ops.full((batch_size, self.units), 0.3)]

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        h = 0.7 * states[0] + 0.3 * keras.activations.gelu(self.new(x, states[0])) + (1.0 if training else 0.0)
        return h, [h]


@keras.saving.register_keras_serializable("cells")
class IndRNNCell(MinGRUCell):
    """Li et al. 2018, Independently recurrent neural network: a vector in place of the recurrent matrix."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units,), name="recurrent")
        self.built = True

    def call(self, x: Any, states: Any) -> Any:
        h = ops.relu(ops.matmul(x, self.kernel) + ops.tanh(self.recurrent) * states[0])
        return h, h  # a state by itself, as Keras allows


@keras.saving.register_keras_serializable("cells")
class FastGRNNCell(_Square):
    """Kusupati et al. 2018, FastGRNN: one product for the gate and the new state."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.biases = self.add_weight(shape=(2, self.units), name="biases")
        self.mixing = self.add_weight(shape=(2,), name="mixing")

    def call(self, x: Any, states: Any) -> Any:
        before = self.new(x, states[0])
        gate, new = ops.sigmoid(before + self.biases[0]), ops.tanh(before + self.biases[1])
        zeta, nu = ops.sigmoid(self.mixing[0]), ops.sigmoid(self.mixing[1])
        h = (zeta * (1 - gate) + nu) * new + gate * states[0]
        return h, [h]


@keras.saving.register_keras_serializable("cells")
class LRUCell(L.Layer):
    """Orvieto et al. 2023, Resurrecting recurrent neural networks: a complex diagonal, as two real states."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.output_size = units, units
        self.state_size = [units, units]

    def build(self, shape: Any) -> None:
        self.size, self.angle = (self.add_weight(shape=(self.units,), name=name) for name in ("size", "angle"))
        self.real, self.imaginary = (
            self.add_weight(shape=(shape[-1], self.units), name=name) for name in ("real", "imaginary")
        )
        self.out = self.add_weight(shape=(2 * self.units, self.units), name="out")
        self.built = True

    def call(self, x: Any, states: Any) -> Any:
        size = ops.exp(-ops.exp(self.size))
        real, imaginary = size * ops.cos(self.angle), size * ops.sin(self.angle)
        scale = ops.sqrt(1 - size * size)
        a = real * states[0] - imaginary * states[1] + scale * ops.matmul(x, self.real)
        b = real * states[1] + imaginary * states[0] + scale * ops.matmul(x, self.imaginary)
        return ops.matmul(ops.concatenate([a, b], axis=-1), self.out), [a, b]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("cells")
class SelectiveCell(L.Layer):
    """Gu and Dao 2023, Mamba: a state (U, N) whose steps the input selects."""

    def __init__(self, units: int, size: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.size, self.output_size = units, size, units
        self.state_size = [units * size]

    def build(self, shape: Any) -> None:
        self.into = self.add_weight(shape=(shape[-1], 2 * self.units + 2 * self.size), name="into")
        self.decay = self.add_weight(shape=(self.units, self.size), name="decay")
        self.skip = self.add_weight(shape=(self.units,), name="skip")
        self.built = True

    def call(self, x: Any, states: Any) -> Any:
        u, n = self.units, self.size
        value, delta, b, c = ops.split(ops.matmul(x, self.into), [u, 2 * u, 2 * u + n], axis=-1)
        delta = ops.softplus(delta)[..., None]
        h = ops.reshape(states[0], (-1, u, n))
        h = ops.exp(-delta * ops.exp(self.decay)) * h + delta * b[:, None, :] * value[..., None]
        y = ops.einsum("bun,bn->bu", h, c) + self.skip * value
        return y, [ops.reshape(h, (-1, u * n))]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "size": self.size}


@keras.saving.register_keras_serializable("cells")
class PeepholeCell(L.LSTMCell):
    """A subclass of Keras's LSTMCell; the cell sees c."""

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        h, (_, c) = super().call(x, states, training=training)
        h = h + 0.1 * ops.tanh(states[1])
        return h, [h, c]


class NoisyCell(LeakyCell):
    """It draws numbers, also when it is not trained."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.noise = keras.random.SeedGenerator(1)

    def call(self, x: Any, states: Any) -> Any:
        h, _ = super().call(x, states)
        h = h + keras.random.normal(ops.shape(h), seed=self.noise)
        return h, [h]


class CountingCell(LeakyCell):
    """Its calls are counted in Python, which a graph cannot do."""

    calls = 0

    def call(self, x: Any, states: Any) -> Any:
        self.calls += 1
        h, _ = super().call(x, states)
        h = h * (0.2 + 0.8 * (self.calls % 2))
        return h, [h]


class VariableCell(LeakyCell):
    """It keeps a state in a variable of its own."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def call(self, x: Any, states: Any) -> Any:
        self.seen.assign(self.seen + 0.01)
        h, _ = super().call(x, states)
        h = h + self.seen
        return h, [h]


CELLS: dict[str, Callable[[], Any]] = {
    "minGRU": lambda: MinGRUCell(5),
    "leaky, from another state than zeros": lambda: LeakyCell(5),
    "IndRNN": lambda: IndRNNCell(5),
    "FastGRNN": lambda: FastGRNNCell(5),
    "LRU": lambda: LRUCell(5),
    "selective, as in Mamba": lambda: SelectiveCell(4),
    "a subclass of LSTMCell": lambda: PeepholeCell(5),
    "known and unknown cells stacked": lambda: L.StackedRNNCells([MinGRUCell(4), L.LSTMCell(3), SelectiveCell(2)]),
}
