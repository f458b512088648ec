"""Windows along the time: the past inputs that a convolution or pooling still looks at, and the steps it answers at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.format.tensor_specs import AnswerTimes
from ..ops import Ops, Value
from .keras_graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, State, shapes_of

PAST = "past"


@dataclass(frozen=True)
class PastInputs:
    """A window on the last `size` inputs, every `dilation`-th of them.

    A sequence begins with zeros in the past: causal padding, or zeros before it.

    Attributes:
        size: How many inputs are looked at.
        dilation: Steps from one to the next.
        shape: Shape of an input: (C,) for C channels, (F, C) for frames of F frequencies.
        answers: The steps of the input at which the layer answers: by its strides, and with padding="valid" not before
            the window is full.
    """

    size: int
    dilation: int
    shape: tuple[int, ...]
    answers: AnswerTimes

    @property
    def length(self) -> int:
        """How many past inputs are kept."""
        return (self.size - 1) * self.dilation

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The state: the past inputs, oldest first. A window of one input has none."""
        return {PAST: (self.length, *self.shape)} if self.length else {}

    def look(self, a: Ops, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the inputs in the window, shape (B, size, *shape), oldest first, and the next state."""
        now = a.reshape(x, [1, *self.shape])
        if not self.length:
            return now, {}
        inputs = a.concatenate([state[PAST], now], 0)
        return a.rows(inputs, 0, self.dilation), {PAST: a.rows(inputs, 1)}

    def step(self, function: Callable[[Ops, Value], Value]) -> LayerStep:
        """Return the step of a layer that computes `function` of its window."""

        def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
            seen, following = self.look(a, x, state)
            return function(a, seen), following

        return LayerStep(apply, state=self.state, answers=self.answers)


def past_inputs(layer: KerasLayer, call: LayerCall, size: int, dilation: int, strides: int) -> PastInputs:
    """Return the window along the time of a convolution or pooling layer.

    Its output number k, from 0, looks at the inputs k strides + 1 to k strides + size of the sequence with `padding`
    zeros before it, if dilation is 1. The last of them is the step at which it answers.

    Raises:
        CannotStepError: It looks at the future, or it answers before the sequence begins.
    """
    length = (size - 1) * dilation
    if not call.timed:
        raise CannotStepError(f"it works along a sequence that is made within one step: {call.input_shapes[0]}")
    if layer.data_format != "channels_last":
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")
    if layer.padding == "same" and length:
        raise CannotStepError(f"its padding is 'same', not causal, so it looks at the future; {_remedy(layer, length)}")
    if strides < 1:
        raise CannotStepError(f"its strides are {strides}; they are 1 or more")
    zeros = length if layer.padding == "causal" else 0
    zeros += call.padding
    if zeros > length:
        raise CannotStepError(
            f"with padding={layer.padding!r} and {call.padding} zeros before the sequence its output begins before the "
            f"first step; {_remedy(layer, length)}"
        )
    return PastInputs(size, dilation, shapes_of(call)[0], AnswerTimes(length - zeros + 1, strides))


def _remedy(layer: KerasLayer, length: int) -> str:
    name = type(layer).__name__
    if name == "Conv1D":
        return "use padding='causal'"
    zeros = f"ZeroPadding2D((({length}, 0), (0, 0)))" if name.endswith("2D") else f"ZeroPadding1D(({length}, 0))"
    return f"put {zeros} before it and give it padding='valid'"
