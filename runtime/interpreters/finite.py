"""Checks that answers and states are finite, before a state moves.

A state is checked when it is assigned, and features when they are passed. So the first number that is not finite is
computed by a step; the step raises, and the state before it stays.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import NotFiniteError
from ..format.io_mapping import LARGEST_INTEGER, WIDE_TYPES
from ..format.manifest import Manifest
from .memory import BoundCall

# Activations that keep the state of a cell within bounds, whatever its weights are.
_BOUNDED = {"tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_keras2", "softsign", "hard_tanh", "softmax", "relu6", None}


def not_finite(manifest: Manifest) -> NotFiniteError:
    """Return the error for a step of the model of `manifest` whose answer or next state is not finite."""
    mapping = manifest.io_mapping
    counts = [name for name, (_, port) in mapping.state.items() if port.dtype in WIDE_TYPES] if mapping else []
    beyond = f", or to an integer beyond {LARGEST_INTEGER:,} in {', '.join(counts)}" if counts else ""
    return NotFiniteError(
        f"{manifest.name} answered with what is no finite number, or came to a state that is none{beyond}. The stream "
        "has not moved. Its state has left what it was trained on: reset the stream, or check the model with: stepcell "
        "check"
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
    """Return a call that does `call` and raises NotFiniteError if any of `arrays` is not finite after it.

    Without arrays it is `call` itself.
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
