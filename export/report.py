"""Parity as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from .parity import EACH, Parity
from .precision import FLOAT32, GATES, Gate

_STARTS = {"initial": "initial, carried", "random": "random, carried", "each": "given at each step"}


def parity_table(results: Sequence[Parity]) -> tuple[list[str], list[list[str]], str]:
    """Return how far files are from Keras, as header, rows and a note.

    Args:
        results: What was measured; each becomes a row: one per file, runtime and start state.
    """
    header = [
        "file",
        "runtime",
        "state before",
        "steps",
        "probabilities, at",
        "state after",
        "same answer",
        "change of NLL",
        "first, last tenth",
    ]
    rows = [
        [
            parity.format if parity.quantization == FLOAT32 else f"{parity.format} {parity.quantization}",
            parity.runtime,
            _STARTS[parity.start],
            f"{parity.steps:,}",
            f"{parity.max_abs_error:.1e}, {parity.errors.argmax() + 1:,}",
            f"{parity.max_state_error:.1e}",
            f"{100 * parity.argmax_agreement:.2f} %",
            f"{parity.nll_change:+.1e} nats",
            "" if parity.start == EACH else f"{parity.error_first_tenth:.1e}, {parity.error_last_tenth:.1e}",
        ]
        for parity in results
    ]
    limits = "; ".join(f"{name} {_limits(GATES[name])}" for name in dict.fromkeys(p.quantization for p in results))
    note = (
        "probabilities, state after: largest difference from Keras, and its step; first, last tenth: mean over them\n"
        f"allowed: {limits}"
    )
    return header, rows, note


def _limits(gate: Gate) -> str:
    """Return what `gate` limits, in words."""
    limits = []
    if gate.error == gate.state:
        limits.append(f"probabilities and states {gate.error:g}")
    else:
        limits += [f"probabilities {gate.error:g}"] if gate.error < inf else []
        limits.append(f"state after a single step {gate.state:g}")
    if gate.agreement:
        limits.append(f"same answer from {100 * gate.agreement:g} %")
    if gate.nll < inf:
        limits.append(f"change of NLL {gate.nll:g} nats")
    return ", ".join(limits)
