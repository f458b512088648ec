"""Names for the inputs and outputs of a TFLite graph: those of a signature, or those of its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from .tflite_graph import TfliteGraph

Names = dict[str, int]  # name -> index of the tensor
_USUAL = ("step", "serving_default")  # names that exporters give to signatures of one step, the likeliest first


def likely_signature(names: Sequence[str]) -> str | None:
    """Return which of the signatures is a step, by its name; "" where there are none, None where it is left open."""
    usual = [name for name in _USUAL if name in names]
    if usual or len(names) < 2:
        return (usual or list(names) or [""])[0]
    return None


def tensors_of(graph: TfliteGraph, signature: str) -> tuple[int, Names, Names]:
    """Return the subgraph of `signature` and its inputs and outputs; "": the first one, by the names of its tensors.

    Raises:
        KeyError: There is no such signature.
        ValueError: Two tensors have one name.
    """
    if signature:
        found = {each.name: each for each in graph.signatures}[signature]
        return found.subgraph, found.inputs, found.outputs
    first = graph.subgraphs[0]
    sides = []
    for indices in (first.inputs, first.outputs):
        names = {first.tensors[index].name: index for index in indices}
        if len(names) < len(set(indices)):
            raise ValueError("two of its inputs or outputs have one name")
        sides.append(names)
    return 0, sides[0], sides[1]
