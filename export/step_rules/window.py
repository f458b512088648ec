"""The last few inputs of a layer, as its state: what convolutions and pooling look at."""

from __future__ import annotations

from dataclasses import dataclass

from ..arithmetic import Arithmetic, Value
from ..graph import KerasLayer, LayerCall
from .rule import CannotStepError, State, shapes_of

PAST = "past"


@dataclass(frozen=True)
class Window:
    """A window on the last `size` inputs, every `dilation`-th of them.

    A sequence begins with zeros in the past, which is exactly what causal padding means.

    Attributes:
        size: How many inputs are looked at.
        dilation: Steps from one to the next.
        channels: Numbers in an input, C.
    """

    size: int
    dilation: int
    channels: int

    @property
    def length(self) -> int:
        """How many past inputs are kept."""
        return (self.size - 1) * self.dilation

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The state: the past inputs, oldest first. A window of one input has none."""
        return {PAST: (self.length, self.channels)} if self.length else {}

    def look(self, a: Arithmetic, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return what is in the window, shape (B, size, C), oldest first, and the next state."""
        now = a.reshape(x, [1, self.channels])
        if not self.length:
            return now, {}
        inputs = a.concatenate([state[PAST], now], 0)
        return a.rows(inputs, 0, self.dilation), {PAST: a.rows(inputs, 1)}


def window_of(layer: KerasLayer, call: LayerCall, size: int, dilation: int, strides: int) -> Window:
    """Return the window of a convolution or pooling layer.

    Raises:
        CannotStepError: It looks at the future, or its output has other time steps than its input.
    """
    length = (size - 1) * dilation
    padding = f"padding={layer.padding!r}"
    if not call.timed or len(call.step_shapes[0]) != 1:
        raise CannotStepError(f"it works along a sequence that is made within one step: {call.input_shapes[0]}")
    if layer.data_format != "channels_last":
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")
    if strides != 1:
        raise CannotStepError(f"its strides are {strides}, so it does not answer at each step; use strides=1")
    causal = (
        (layer.padding == "causal" and not call.padding)
        or (layer.padding == "valid" and call.padding == length)
        or (not length and not call.padding)
    )
    if not causal and layer.padding == "same":
        raise CannotStepError(f"its padding is 'same', not causal, so it looks at the future; {_remedy(layer, length)}")
    if not causal:
        shift = call.padding - (length if layer.padding == "valid" else 0)
        raise CannotStepError(
            f"with {padding} and {call.padding} zeros before the sequence its output is {abs(shift)} steps "
            f"{'longer' if shift > 0 else 'shorter'} than the sequence; {_remedy(layer, length)}"
        )
    ((channels,),) = shapes_of(call)
    return Window(size, dilation, channels)


def _remedy(layer: KerasLayer, length: int) -> str:
    zeros = f"put ZeroPadding1D(({length}, 0)) before it and give it padding='valid'"
    return "use padding='causal'" if type(layer).__name__ == "Conv1D" else zeros
