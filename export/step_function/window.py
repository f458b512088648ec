"""Whether a model is one of windows, and of how many time steps."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ...runtime.format.manifest import StateTensor
from ..layers.keras_graph import Graph

if TYPE_CHECKING:
    from .build import StepFunction


def window_length(graph: Graph, problems: list[str], asked: int | None, carried: bool) -> int | None:
    """Return the number of time steps that an answer of a model depends on; None: all since the reset.

    A model whose number of time steps is fixed, whose layers are not stateful and whose outputs have no time axis was
    made for windows of that length. Any other can be given a window.

    Args:
        graph: The graph of the model.
        problems: Reasons why the wanted window does not fit are appended to it.
        asked: The wanted length.
        carried: An endless stream is wanted in any case.
    """
    fixed = fixed_length(graph)
    stateful = [call.layer.name for call in graph.calls if getattr(call.layer, "stateful", False)]
    if asked is None:
        once = not any(output.timed for output in graph.outputs)
        return fixed if once and not stateful and not carried else None
    if carried:
        problems.append("a window and an endless stream are asked for; give one of the two")
    if asked < 1:
        problems.append(f"a window of {asked} time steps was asked for; give 1 or more")
    if stateful:
        problems.append(
            f"its layer {stateful[0]!r} is stateful, so it carries its state from one window to the next; leave the "
            "window out"
        )
    if fixed is not None and asked != fixed:
        problems.append(f"a window of {asked} time steps was asked for; it is built for {fixed}")
    return max(asked, 1)


def fixed_length(graph: Graph) -> int | None:
    """Return the number of time steps that a model is built for; None: any."""
    lengths = {each.shape[1] for each in graph.inputs if len(each.shape) > 1 and not each.static}
    return lengths.pop() if len(lengths) == 1 else None


def describe_past(step_function: StepFunction) -> str:
    """Say in a sentence what an answer depends on, and what that costs."""
    window, fixed = step_function.window, fixed_length(step_function.graph)
    if window is None:
        carried = "an endless stream: the state is carried from step to step"
        if fixed is None:
            return carried
        return f"{carried}, also beyond the {fixed} time steps that the model was built for"
    length = window.length
    cost = (
        f"{length} staggered rows, which are one batch" if window.method == "rows"
        else f"the whole window is computed anew, which costs about {length} plain steps"
    )  # fmt: skip
    return (
        f"a window: an answer depends on the last {length} time steps alone, and the first one comes at step {length}; "
        f"in {cost}; the state has {_bytes(step_function.state):,} bytes"
    )


def _bytes(state: tuple[StateTensor, ...]) -> int:
    return 4 * sum(prod(tensor.shape) for tensor in state)
