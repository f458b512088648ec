"""A search as people see it: a table of its trials and a sentence about the best."""

from __future__ import annotations

import math

from .search import SearchResult
from .space import Candidate

_HEADER = (
    "trial", "cell", "units", "layers", "learning rate", "parameters", "solved", "updates", "CPU-seconds",
    "carried accuracy", "nats",
)  # fmt: skip


def search_table(searched: SearchResult) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows, and a sentence about the best trial, which is marked with an asterisk."""
    rows = [
        [
            f"{trial.trial}{' *' if trial is searched.best else ''}",
            trial.cell,
            str(trial.units),
            str(trial.layers),
            f"{trial.learning_rate:g}",
            f"{trial.parameters:,}",
            "yes" if trial.solved else "diverged" if trial.stopped == "diverged" else "no",
            f"{trial.updates:,}",
            f"{trial.cpu_seconds:.1f}",
            f"{100 * trial.carried_accuracy:.2f} %" if math.isfinite(trial.carried_accuracy) else "",
            f"{trial.nats:.4f}" if math.isfinite(trial.nats) else "",
        ]
        for trial in searched.trials
    ]
    return list(_HEADER), rows, _verdict(searched)


def _verdict(searched: SearchResult) -> str:
    best = searched.best
    if best is None:
        return "No trial has come to an end."
    shape = (
        f"{best.cell} of {best.units} units{f' in {best.layers} layers' if best.layers > 1 else ''}, learning rate "
        f"{best.learning_rate:g}, {best.parameters:,} parameters"
    )
    if not best.solved:
        return f"* None solved it. The lowest nats on held-out streams: {shape}."
    return f"* The smallest that solved it: {shape}.{' No smaller one is left.' if searched.exhausted else ''}"


def describe_candidate(number: int, trials: int, candidate: Candidate) -> str:
    """Return what is being tried, in a few words."""
    network = candidate.network
    layers = f" in {network.layers} layers" if network.layers > 1 else ""
    return f"trial {number} of {trials}: {network.cell} {network.units}{layers}, {candidate.learning_rate:g}"
