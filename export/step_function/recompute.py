"""A window computed anew at each step: the state is the last N - 1 inputs, the model itself is traced for N steps.

This is for layers that look at the whole window: attention, Bidirectional, normalization over the time. A step costs as
much as N plain steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import layers

from ...runtime.common.arrays import AnyArray
from ...runtime.format.manifest import StateTensor
from ...runtime.format.tensor_specs import SYMBOL, Inputs
from ..layers import CannotStepError, Lookup, apply_rule
from ..layers.keras_graph import Graph, GraphInput, KerasModel, as_given
from ..ops import Ops, Value
from .interface import Interface
from .plan import Steps

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph

_PAST = "past"  # past0, past1, ...: the last inputs, in the order of the inputs of the model
_LONGEST_UNROLLED = 128  # time steps; the layers of longer windows stay loops in the graph


def lookups_of(graph: Graph) -> Steps:
    """Return the calls of `graph`, each with the table that its ids are looked up in; () where it is another layer."""
    inputs = {each.number for each in graph.inputs}
    found: list[tuple[Any, Any]] = []
    for call in graph.calls:
        step: Any = ()
        if len(call.inputs) == 1 and call.inputs[0] in inputs:
            with suppress(CannotStepError):
                step = apply_rule(call)
        found.append((call, step if isinstance(step, Lookup) else ()))
    return found


def of_whole_window(graph: Graph, model: KerasModel) -> Graph:
    """Return `graph` with outputs as rows of numbers: a sequence that is made at the end is one row."""
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    return replace(graph, outputs=tuple(
        replace(output, shape=(prod(size or 0 for size in shape[2 if output.timed else 1 :]),),
                values=len(shape) > (3 if output.timed else 2))
        for output, shape in zip(graph.outputs, shapes, strict=True)
    ))  # fmt: skip


@dataclass(frozen=True)
class WholeWindow:
    """The computation of a window of `length` inputs.

    Attributes:
        length: N.
        graph: The graph of the model.
        interface: Its inputs and outputs.
        traced: The model as a function of its inputs, (B, N, ...).
    """

    length: int
    graph: Graph
    interface: Interface
    traced: TracedGraph

    @property
    def state(self) -> tuple[StateTensor, ...]:
        """The last inputs; ids as whole numbers."""
        return tuple(
            StateTensor(f"{_PAST}{number}", (self.length - 1, *self._shape(each.number)))
            for number, each in enumerate(self._sequences)
        )

    @property
    def _sequences(self) -> list[GraphInput]:
        return [each for each in self.graph.inputs if not each.static]

    def advance(
        self, a: Ops, inputs: Mapping[str, Value], state: Mapping[str, Value]
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """Take a step; see `Advance`."""
        following = self.interface.static_of(state)
        windows = {number: state[tensor.name] for number, tensor in self.interface.static.items()}
        for tensor, each in zip(self.state, self._sequences, strict=True):
            now = inputs[self.interface.names[each.number]]
            if each.number in self.interface.tables:
                now = a.gather(self._ids(each.number), now)
            window = a.concatenate([state[tensor.name], a.reshape(now, [1, *self._shape(each.number)])], 0)
            following[tensor.name] = a.rows(window, 1)
            if self.interface.one_hot and each.number == self.interface.symbol:
                window = a.gather(self.interface.tables[each.number], a.as_ids(window))
            windows[each.number] = window
        made = a.traced(self.traced, [windows[each.number] for each in self.graph.inputs])
        answers = {
            each.name: a.activation("softmax", value) if each.from_logits else value
            for each, value in zip(self.interface.outputs, made, strict=True)
        }
        return answers, following

    def states_before(self, inputs: Inputs, start: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return the state before each of T steps and after the last, (T + 1, N - 1, ...), from `start`, (1, ...)."""
        given = {SYMBOL: inputs.ids, **inputs.features}
        found = {}
        for tensor, each in zip(self.state, self._sequences, strict=True):
            before = start[tensor.name]
            joined = np.concatenate([before[0], given[self.interface.names[each.number]].astype(before.dtype)])
            views = np.lib.stride_tricks.sliding_window_view(joined, self.length - 1, axis=0)
            found[tensor.name] = np.moveaxis(views, -1, 1)
        for tensor in self.interface.static.values():
            found[tensor.name] = np.repeat(start[tensor.name], len(inputs) + 1, axis=0)
        return found

    def _shape(self, number: int) -> tuple[int, ...]:
        feature = self.interface.features.get(number)
        return () if feature is None or feature.ids is not None else feature.shape

    def _ids(self, number: int) -> AnyArray:
        return _whole_numbers(len(self.interface.tables[number]))


_NUMBERS: dict[int, AnyArray] = {}


def _whole_numbers(count: int) -> AnyArray:
    return _NUMBERS.setdefault(count, np.arange(count, dtype=np.float32))


def trace_window(model: KerasModel, graph: Graph, interface: Interface, length: int) -> WholeWindow:
    """Trace `model` on windows of `length` inputs.

    Raises:
        CannotStepError: It cannot be traced, or the window is one input, which needs no state.
    """
    from ..tracing.trace import CannotTraceError, trace  # TensorFlow, and not needed by windows in rows

    if length < 2:
        raise CannotStepError("a window of one time step has no past, so there is no state to step")
    order = [output.number for output in graph.outputs]
    places = [order.index(each.number) for each in interface.outputs]
    timed = {output.number for output in graph.outputs if output.timed}

    def call(given: list[Any]) -> list[Any]:
        import tensorflow as tf

        made = tf.nest.flatten(model(as_given(model, given), training=False))
        last = [value[:, -1] if number in timed else value for number, value in zip(order, made, strict=True)]
        sizes = [each.size for each in interface.outputs]
        return [tf.reshape(last[place], [-1, size]) for place, size in zip(places, sizes, strict=True)]

    shapes = []
    for each in graph.inputs:
        is_one_hot = interface.one_hot and each.number == interface.symbol
        size = (interface.symbols,) if is_one_hot else tuple(s or 0 for s in each.shape[1 if each.static else 2 :])
        shapes.append(
            (size if each.static else (length, *size), "float32" if each.dtype.startswith("float") else each.dtype)
        )
    try:
        with _unrolled(model, length):
            traced = trace(call, shapes)
    except CannotTraceError as error:
        raise CannotStepError(str(error)) from error
    return WholeWindow(length, graph, interface, traced)


@contextmanager
def _unrolled(model: KerasModel, length: int) -> Any:
    """Let the recurrent layers of `model` be unrolled inside the block: interpreters are slow at loops."""
    found: Sequence[Any] = [layer for layer in _all_layers(model) if isinstance(layer, layers.RNN)]
    changed = [layer for layer in found if not layer.unroll] if length <= _LONGEST_UNROLLED else []
    for layer in changed:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in changed:
            layer.unroll = False


def _all_layers(layer: Any) -> list[Any]:
    return list(layer._flatten_layers(include_self=True, recursive=True))
