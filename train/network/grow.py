"""Add rows for new symbols to the weights of a network, so that its answers to known symbols stay. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...runtime.common.arrays import Float32

NEW_SHARE = 1e-4  # largest share of the probability that new outputs take together where there is no unknown symbol


def grow_inputs(weights: Sequence[Float32], added: int, unknown: int | None, *, one_hot: bool) -> tuple[Float32, ...]:
    """Return the weights of a network that knows `added` symbols more.

    A new symbol is read as the unknown symbol is, or if there is none as the mean of all symbols.

    Args:
        weights: As `BuiltNetwork.weights` returns them: the table (V, E) first, then the kernel of the first recurrent
            layer, whose first V or E rows belong to the symbol.
        added: Number of new symbols.
        unknown: Id of the unknown symbol; None: there is none.
        one_hot: The table is an identity matrix, and a symbol has a row in the kernel.
    """
    table, kernel, *rest = weights
    symbols = len(table)
    rows = kernel[:symbols] if one_hot else table
    row = rows.mean(axis=0) if unknown is None else rows[unknown]
    new = np.tile(row, (added, 1)).astype(np.float32)
    if not one_hot:
        return np.concatenate([table, new]), kernel, *rest
    grown = np.concatenate([kernel[:symbols], new, kernel[symbols:]])
    return np.eye(symbols + added, dtype=np.float32), grown, *rest


def grow_outputs(kernel: Float32, bias: Float32, added: int, unknown: int | None) -> tuple[Float32, Float32]:
    """Return kernel (U, K) and bias (K,) of the last layer with `added` columns more.

    The probability of the unknown symbol is shared with the new outputs in equal parts, so that those of all others
    stay as they are. If there is no unknown symbol, the new outputs together take less than `NEW_SHARE` of the
    probability of the others: their logit is the mean of the others' minus a constant, and the mean of K numbers is not
    above the logarithm of the mean of their exponentials (Jensen).

    Args:
        kernel: float32 of shape (U, K).
        bias: float32 of shape (K,).
        added: Number of new outputs.
        unknown: Id of the unknown symbol; None: there is none.
    """
    if unknown is None:
        column, its_bias = kernel.mean(axis=1), bias.mean() - np.log(added / (len(bias) * NEW_SHARE))
    else:
        bias = bias.copy()
        bias[unknown] -= np.log(1 + added)
        column, its_bias = kernel[:, unknown], bias[unknown]
    columns = np.tile(column[:, None], (1, added)).astype(np.float32)
    return np.concatenate([kernel, columns], axis=1), np.append(bias, np.full(added, its_bias, np.float32))
