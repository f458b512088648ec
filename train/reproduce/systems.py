"""All systems of the reproduction, and how to find one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...runtime.common.errors import ProblemError
from ..network.network import Network
from ..problems.alphabet import Alphabet
from ..problems.echo import Echo
from ..problems.memory import Memory
from ..problems.order import Order
from ..problems.reber import Reber
from ..problems.recall import Recall
from ..problems.replay import Replay
from .system import Experiment, System
from .tutorials import TUTORIALS

_SMALL, _GRU = Network(units=32), Network("gru", units=64)
_RANDOM = np.random.default_rng(0).integers(0, 10, (20, 20))
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


QUESTIONS: tuple[System, ...] = (
    System(
        "echo-production", "questions", "an echo in production: one number at a time, nothing else given", Echo(100, 1),
        _GRU, "Trained on endless streams with the state carried, judged on streams of 2,000 numbers.",
    ),
    System(
        "cyclic", "questions", "the alphabet from any letter, round and round; the next N letters",
        Alphabet(cyclic=True), _SMALL,
        "Judged by 100 letters from each of the 26. All of them right is what feeding back its own answers gives.",
    ),
    System(
        "patterns", "questions", "repeated patterns: AAAABBBCCD", Memory((tuple("AAAABBBCCD"),)), Network(units=24),
        "How many A's have been seen is in the state and nowhere else.",
    ),
    System(
        "context", "questions", "ABCDEFABCXYZ, where A B C need context", Memory((tuple("ABCDEFABCXYZ"),)),
        Network(units=24), "After the second C comes X: the state has to know which round it is.",
    ),
    System(
        "reverse", "questions", "reversing a sequence of 5 numbers", Replay(reverse=True), _GRU,
        "The answers come after the last number, one for each question mark.",
    ),
    System(
        "scrambled", "questions", "scrambled letters, so that numbers carry no order",
        Alphabet(cyclic=True, scrambled=1), _SMALL,
        "One-hot letters have no order to begin with: it makes no difference.",
    ),
)  # fmt: skip

EXTENSIONS: tuple[System, ...] = (
    System(
        "large-alphabet", "extensions", "an alphabet of 200 symbols, from any of them", Alphabet(symbols=200),
        Network(units=64), "Size costs compute, not memory.",
    ),
    System(
        "memory-many", "extensions", "20 sequences of 10 symbols that agree in the middle", Memory.conflicting(20, 10),
        Network(units=64),
        "All sequences are learned side by side in random order: batches and shuffling are no obstacle to memory.",
    ),
    System(
        "memory-random", "extensions", "20 random sequences of 20 symbols",
        Memory(tuple(tuple(map(str, row)) for row in _RANDOM)), Network(units=64),
        "Asked where everything before leaves one possibility.",
    ),
    System(
        "memory-100", "extensions", "two sequences of 100 symbols that agree in the middle", Memory.conflicting(2, 100),
        Network(units=64),
        "Gates initialised for lags as long as the sequence (chrono); otherwise the middle teaches it to forget.",
    ),
    System(
        "memory-1000", "extensions", "two sequences of 1,000 symbols that agree in the middle",
        Memory.conflicting(2, 1000), Network(units=64), "As above, ten times as long.",
    ),
    System(
        "missing", "extensions", "an echo with a fifth of the numbers missing", Echo(100, 1, missing=0.2), _GRU,
        "A missing number is a symbol of its own in the input and never asked for.",
    ),
    System("echo-2", "extensions", "an echo with lag 2", Echo(100, 2), _GRU, "A shift register of two numbers."),
    System("echo-5", "extensions", "an echo with lag 5", Echo(100, 5), Network("gru", units=128), "And of five."),
    System(
        "sub-sequence", "extensions", "echoing a lagged part of a sequence: 3 numbers out of 8",
        Replay(length=8, first=1, count=3), Network("gru", units=96),
        "What will be asked for has to be kept while the rest goes by.",
    ),
    System(
        "whole-sequence", "extensions", "the entire sequence as context: all 5 numbers again, in order", Replay(), _GRU,
        "Nothing is fed in again: all five are in the state.",
    ),
)  # fmt: skip

PAPER: tuple[System, ...] = (
    System(
        "paper-1", "paper", "embedded Reber grammar", Reber(), Network(units=16),
        "The legal next symbols are the most likely ones everywhere, in 256 strings that were not learned from.",
        experiment=Experiment(f"{_PAPER} 1", "97 to 100 % of trials", 8_440),
    ),
    System(
        "paper-2a", "paper", "noise-free long time lags, p = 100", Memory.conflicting(2, 102), Network(units=64),
        f"{_KEPT} Backpropagation through time without gates solved 0 % in the paper.",
        experiment=Experiment(f"{_PAPER} 2a", "100 % of 18 trials", 5_040, 0.25),
    ),
    System(
        "paper-2b", "paper", "no local regularities, p = 100", Recall(lag=100, keys=2, distractors=100),
        Network(units=64), _EARLY, experiment=Experiment(f"{_PAPER} 2b", "always", 5_680, 0.25),
    ),
    *(
        System(
            f"paper-2c-{lag}-{distractors}", "paper", f"very long lags, q = {lag}, p = {distractors} distractors",
            Recall(lag=lag, keys=2, distractors=distractors, extra=20), Network(units=64), _EARLY,
            experiment=Experiment(f"{_PAPER} 2c", "20 of 20 trials", sequences, 0.2),
        )
        for lag, distractors, sequences in _2C
    ),
    System(
        "paper-6a", "paper", "temporal order, two marks", Order(2), Network(units=32),
        "Whichever gates stay open for 100 steps decide: chrono initialisation gives some of them from the start.",
        experiment=Experiment(f"{_PAPER} 6a", "1 of 2,560 sequences wrong", 31_390),
    ),
    System(
        "paper-6b", "paper", "temporal order, three marks", Order(3), Network(units=32), "As with two marks.",
        experiment=Experiment(f"{_PAPER} 6b", "2 of 2,560 sequences wrong", 571_100),
    ),
)  # fmt: skip

SYSTEMS: tuple[System, ...] = (*TUTORIALS, *QUESTIONS, *EXTENSIONS, *PAPER)


def find_systems(names: Sequence[str] = ()) -> list[System]:
    """Return the systems with these names or of these groups; all of them if none are given.

    Raises:
        ProblemError: A name is neither; all such names are listed.
    """
    known = {system.name for system in SYSTEMS} | {system.group for system in SYSTEMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ProblemError(
            f"There is no system or group called {', '.join(map(repr, unknown))}. Groups: "
            f"{', '.join(dict.fromkeys(system.group for system in SYSTEMS))}. Systems: "
            f"{', '.join(system.name for system in SYSTEMS)}."
        )
    return [system for system in SYSTEMS if not names or system.name in names or system.group in names]
