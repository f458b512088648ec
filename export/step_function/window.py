"""Whether a model is one of windows, and of how many time steps."""

from __future__ import annotations

from ..layers.keras_graph import Graph


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
    lengths = {each.name: each.shape[1] for each in graph.inputs if len(each.shape) > 1 and not each.static}
    if len({length for length in lengths.values() if length}) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items() if length)
        problems.append(f"its inputs have different numbers of time steps ({listed}); a step gives one to each of them")
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
