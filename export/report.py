"""Parity as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from .parity import FLOAT32_TOLERANCE, Parity

_STARTS = {"initial": "initial, carried", "random": "random, carried", "each": "given at each step"}


def parity_table(results: Sequence[Parity]) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and a note."""
    header = [
        "file",
        "runtime",
        "state before",
        "steps",
        "probabilities",
        "state after",
        "same answer",
        "change of NLL",
    ]
    rows = [
        [
            parity.format,
            parity.runtime,
            _STARTS[parity.start],
            f"{parity.steps:,}",
            f"{parity.max_abs_error:.1e}",
            f"{parity.max_state_error:.1e}",
            f"{100 * parity.argmax_agreement:.2f} %",
            f"{parity.nll_change:+.1e} nats",
        ]
        for parity in results
    ]
    note = f"probabilities, state after: largest difference from Keras; allowed: {FLOAT32_TOLERANCE:g}"
    return header, rows, note
