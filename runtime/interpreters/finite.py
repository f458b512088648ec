"""Answers and states that are numbers: what is not a number, or infinite, is refused before a state moves.

A state that is given is checked when it is given, and so are features. So the first thing that is not finite is what
a step computes, and the step is where it is stopped: the state before is still there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import NotFiniteError
from ..format.manifest import Manifest
from .memory import BoundCall

# What keeps the state of a cell within bounds, whatever its weights are.
_BOUNDED = {"tanh", "sigmoid", "hard_sigmoid", "softsign", "hard_tanh", "softmax", "relu6", None}


def not_finite(manifest: Manifest) -> NotFiniteError:
    """Return what to raise where a step of the model of `manifest` gives something that is not finite."""
    return NotFiniteError(
        f"{manifest.name} answered with what is no finite number, or came to a state that is none. The stream has not "
        "moved. Its state has left what it was trained on: reset the stream, or check the model with: stepcell check"
    )


def outputs_to_check(manifest: Manifest) -> tuple[str, ...]:
    """Return the outputs of which every number must be looked at; of the main output the first always is.

    The softmax of anything that is not finite is not a number anywhere: its first number tells of all of them. And
    where all cells are bounded and nothing but symbols is read, a state that is not finite makes such an answer.
    """
    others = tuple(output.name for output in manifest.extra_outputs)
    activations = {a for cell in manifest.cells for a in (cell.activation, cell.recurrent_activation)}
    bounded = activations <= _BOUNDED and not manifest.features and manifest.io_mapping is None
    states = () if bounded else tuple(tensor.next for tensor in manifest.state)
    return (*(() if manifest.output == "softmax" else (manifest.answer,)), *others, *states)


def with_finite_check(call: BoundCall, arrays: Iterable[AnyArray], manifest: Manifest) -> BoundCall:
    """Return `call`, which writes to `arrays`, and raises NotFiniteError where one is not finite then.

    Where there are none to look at it is `call` itself.
    """
    # 0 times a number is 0 and 0 times anything else is not: a product is the cheapest way to look at all of them.
    products = [(array.reshape(-1).dot, np.zeros(array.size, array.dtype)) for array in arrays]
    if not products:
        return call
    run, arguments = call

    def run_and_look() -> None:
        run(*arguments)
        for product_with, zeros in products:
            if product_with(zeros) != 0:
                raise not_finite(manifest)

    return run_and_look, ()


def require_finite(arrays: Iterable[AnyArray], manifest: Manifest) -> None:
    """Raise NotFiniteError unless all of `arrays` are finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise not_finite(manifest)
