"""How many threads TensorFlow computes with."""

from __future__ import annotations

import tensorflow as tf

from ..runtime.errors import ProblemError
from .network import Network

_WORTH_SHARING = 256  # units; below, two threads wait for each other longer than they compute


def use_threads(count: int | None, network: Network) -> None:
    """Let TensorFlow compute with `count` threads.

    TensorFlow asks for this before it computes anything: the first training of a process decides.

    Args:
        count: How many; None: one for a small network, all there are for a large one, and whatever has been decided
            where TensorFlow has begun.
        network: What will be trained.

    Raises:
        ProblemError: TensorFlow has begun to compute with another number.
    """
    if count is None and network.units >= _WORTH_SHARING:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count or 1)
        tf.config.threading.set_inter_op_parallelism_threads(count or 1)
    except RuntimeError:
        if count is not None:
            found = tf.config.threading.get_intra_op_parallelism_threads() or "all"
            raise ProblemError(
                f"TensorFlow already computes with {found} threads in this process, not with {count}. "
                "Train in a process of its own, or leave the number of threads open."
            ) from None
