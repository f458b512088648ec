"""The experiments of Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 9(8), 1997."""

from __future__ import annotations

from ...network.network import Network
from ...problems.memory import Memory
from ...problems.order import Order
from ...problems.reber import Reber
from ...problems.recall import Recall
from .system import Experiment, System

_PAPER = "Hochreiter and Schmidhuber 1997, experiment"
# Experiment 2c: lag, different distractors, training sequences until success.
_2C = (
    (50, 50, 30_000),
    (100, 100, 31_000),
    (200, 200, 33_000),
    (500, 500, 38_000),
    (1000, 1000, 49_000),
    (1000, 500, 49_000),
    (1000, 200, 75_000),
    (1000, 100, 135_000),
    (1000, 50, 203_000),
)
_KEPT = "Chrono initialisation of the gates lets the first symbol through from the start; the rest is fine-tuning."
_EARLY = f"{_KEPT} Asked early too while learning, which the paper does not do: its sequences are harder than ours."

PAPER: tuple[System, ...] = (
    System(
        "paper-1",
        "paper",
        "embedded Reber grammar",
        Reber(),
        Network(units=16),
        "The legal next symbols are the most likely ones everywhere, in 256 strings that were not learned from.",
        experiment=Experiment(f"{_PAPER} 1", "97 to 100 % of trials", 8_440),
    ),
    System(
        "paper-2a",
        "paper",
        "noise-free long time lags, p = 100",
        Memory.conflicting(2, 102),
        Network(units=64),
        f"{_KEPT} Backpropagation through time without gates solved 0 % in the paper.",
        experiment=Experiment(f"{_PAPER} 2a", "100 % of 18 trials", 5_040, 0.25),
    ),
    System(
        "paper-2b",
        "paper",
        "no local regularities, p = 100",
        Recall(lag=100, keys=2, distractors=100),
        Network(units=64),
        _EARLY,
        experiment=Experiment(f"{_PAPER} 2b", "always", 5_680, 0.25),
    ),
    *(
        System(
            f"paper-2c-{lag}-{distractors}",
            "paper",
            f"very long lags, q = {lag}, p = {distractors} distractors",
            Recall(lag=lag, keys=2, distractors=distractors, extra=20),
            Network(units=64),
            _EARLY,
            experiment=Experiment(f"{_PAPER} 2c", "20 of 20 trials", sequences, 0.2),
        )
        for lag, distractors, sequences in _2C
    ),
    System(
        "paper-6a",
        "paper",
        "temporal order, two marks",
        Order(2),
        Network(units=32),
        "Whichever gates stay open for 100 steps decide: chrono initialisation gives some of them from the start.",
        experiment=Experiment(f"{_PAPER} 6a", "1 of 2,560 sequences wrong", 31_390),
    ),
    System(
        "paper-6b",
        "paper",
        "temporal order, three marks",
        Order(3),
        Network(units=32),
        "As with two marks.",
        experiment=Experiment(f"{_PAPER} 6b", "2 of 2,560 sequences wrong", 571_100),
    ),
)
