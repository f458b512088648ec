"""Static inputs: numbers that are given once for each stream, and are a part of its state from then on.

Such a tensor of the state is its own next state. So a reset keeps it, and saving, forks and fleets take it along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import Float32
from ..common.errors import OptionError, StateMismatchError
from ..format.manifest import Manifest, StateTensor
from ..format.model_file import ModelFile
from ..interpreters.base import initial_state
from .snapshot import State

Static: TypeAlias = Mapping[str, ArrayLike]  # name -> numbers in the shape of the tensor


def start_of(file: ModelFile, static: Static | None, streams: tuple[int, ...] = ()) -> State:
    """Return the state of a stream that begins, with its static inputs in it: name -> float32 of shape (1, ...).

    Args:
        file: The model.
        static: Its static inputs; None: none are given.
        streams: (N,): return the states of N streams, (N, ...); `static` has numbers for all, or for each of them.

    Raises:
        StateMismatchError: One is missing or not known, its shape is wrong, or a number is not finite; all are named.
    """
    manifest = file.manifest
    start = initial_state(manifest.state)
    if streams:
        start = {name: np.repeat(array, streams[0], axis=0) for name, array in start.items()}
    tensors = {tensor.name: tensor for tensor in manifest.static}
    if not tensors and not static:
        return start
    given = {} if static is None else static
    problems = [f"{name} is missing" for name in tensors if name not in given]
    problems += [f"there is no static input {name}" for name in given if name not in tensors]
    for name, tensor in tensors.items():
        if name in given:
            try:
                start[name][...] = _numbers(tensor, given[name], streams)
            except (TypeError, ValueError) as error:
                problems.append(f"{name} {error}")
    if problems:
        raise StateMismatchError(_message(file, problems))
    return start


def parse_static(texts: Sequence[str] | None) -> dict[str, list[float]] | None:
    """Read static inputs as options have them, `NAME=1,2,3` each; None if there are none.

    Raises:
        OptionError: One has no name or no numbers, or a name is given twice; all are named.
    """
    found: dict[str, list[float]] = {}
    problems = []
    for text in texts or ():
        name, is_there, numbers = text.partition("=")
        try:
            values = [float(number) for number in numbers.split(",")]
        except ValueError:
            values = []
        if not (name and is_there and values) or name in found:
            problems.append(repr(text))
        found[name] = values
    if problems:
        raise OptionError(f"A static input is NAME=NUMBERS, like user=1,0.5,2, once each; not {', '.join(problems)}.")
    return found or None


def after_reset(manifest: Manifest, state: Mapping[str, Float32]) -> State:
    """Return the state after a reset of a stream that is in `state`, whose static inputs stay."""
    return {**initial_state(manifest.state), **{tensor.name: state[tensor.name] for tensor in manifest.static}}


def describe_static(manifest: Manifest) -> str:
    """Return the static inputs and their shapes, "" if there are none."""
    return ", ".join(tensor.describe() for tensor in manifest.static)


def _numbers(tensor: StateTensor, given: ArrayLike, streams: tuple[int, ...]) -> Float32:
    """Return `given` as float32 in the shape of the tensor, or raise ValueError."""
    try:
        array = np.asarray(given, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot be read ({error})") from None
    shapes = [tensor.shape, (1, *tensor.shape), *((*streams, *tensor.shape) for _ in streams)]
    if array.shape not in shapes and not (array.ndim == 0 and tensor.shape == (1,)):
        raise ValueError(f"has the shape {array.shape}, wanted is {tuple(shapes[-1] if streams else tensor.shape)}")
    if not np.isfinite(array).all():
        raise ValueError("is not finite")
    return array


def _message(file: ModelFile, problems: list[str]) -> str:
    if not file.manifest.static:
        return f"{file.name} has no static inputs: {'; '.join(problems)}. Nothing has moved."
    names = [tensor.name for tensor in file.manifest.static]
    example = ", ".join(f"{name!r}: [...]" for name in names)
    return (
        f"{file.name} reads static inputs, once for each stream ({describe_static(file.manifest)}): "
        f"{'; '.join(problems)}. Give static={{{example}}}, in a command --static {names[0]}=1,2,3; "
        "or go on from a saved state, which has them. Nothing has moved."
    )
