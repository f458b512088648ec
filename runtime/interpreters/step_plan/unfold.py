"""Tables that are products of smaller matrices, as embeddings are that were multiplied with the weights behind them.

A file has such a product for each symbol, which is fast and, of many symbols, large. Its factors are found again by its
singular values: what was a product has only as many as the factors have columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...common.arrays import Float32
from .statements import Product, Row, Statement
from .views import Memory, View

_MOST_WORK = 6e9  # multiplications of the search
_ROUNDING = 2.0**-24  # of a number of float32
_ALLOWED = 1e-6  # of the largest number: how far the product may be from the table


@dataclass(frozen=True)
class Factors:
    """Smaller weights for a table of (R, N): row i of it is `rows[i] @ weights + start`.

    Attributes:
        rows: float32 of shape (R, M).
        weights: float32 of shape (M, N).
        start: float32 of shape (N,).
    """

    rows: Float32
    weights: Float32
    start: Float32


def factors_of(table: Float32) -> Factors | None:
    """Return the factors of a table, (R, N), if they have fewer numbers than it; else None."""
    size, width = table.shape
    if size * width * min(size, width) > _MOST_WORK or min(size, width) < 2 or not np.isfinite(table).all():
        return None
    wide = table.astype(np.float64)
    start = wide.mean(axis=0).astype(np.float32)
    left, values, right = np.linalg.svd(wide - start, full_matrices=False)
    largest = float(np.abs(wide).max())
    noise = 3 * _ROUNDING * largest * (np.sqrt(size) + np.sqrt(width))
    rank = int((values > noise).sum())
    filled_up = -(-width // Product.block) * Product.block
    if not rank or rank * (size + filled_up) + width >= table.size:
        return None
    scale = np.sqrt(values[:rank])
    rows, weights = left[:, :rank] * scale, scale[:, np.newaxis] * right[:rank]
    found = Factors(rows.astype(np.float32), weights.astype(np.float32), start)
    off = np.abs(found.rows.astype(np.float64) @ found.weights + found.start - wide).max()
    return found if off <= _ALLOWED * largest else None


def with_unfolded_tables(statements: Sequence[Statement]) -> list[Statement]:
    """Return statements in which tables are looked up by their factors, where these are smaller."""
    return [each for statement in statements for each in _unfolded(statement)]


def _unfolded(statement: Statement) -> list[Statement]:
    if not isinstance(statement, Row) or statement.table.memory.dtype != "float32":
        return [statement]
    table = statement.table.numbers()
    factors = None if table is None else factors_of(table.reshape(len(table), -1))
    if factors is None:
        return [statement]
    rank = len(factors.weights)
    rows = factors.rows.reshape(-1)
    looked_up = _flat(Memory("float32", rank))
    start = _flat(Memory("float32", factors.start.size, factors.start))
    table_of_rows = View(Memory("float32", rows.size, rows), 0, factors.rows.shape, (rank, 1))
    return [
        replace(statement, table=table_of_rows, result=looked_up),
        Product(looked_up, factors.weights, statement.result, start),
    ]


def _flat(memory: Memory) -> View:
    return View(memory, 0, (memory.size,), (1,))
