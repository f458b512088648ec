"""What the tutorials propose to try next."""

from __future__ import annotations

import numpy as np

from ...network.network import Network
from ...problems.alphabet import Alphabet
from ...problems.echo import Echo
from ...problems.memory import Memory
from ...problems.replay import Replay
from .system import System


def _random_sequences(count: int, length: int, symbols: int) -> Memory:
    drawn = np.random.default_rng(0).integers(0, symbols, (count, length))
    return Memory(tuple(tuple(map(str, row)) for row in drawn))


_GRU = Network("gru", units=64)

EXTENSIONS: tuple[System, ...] = (
    System(
        "large-alphabet",
        "extensions",
        "an alphabet of 200 symbols, from any of them",
        Alphabet(symbols=200),
        Network(units=64),
        "Size costs compute, not memory.",
    ),
    System(
        "memory-many",
        "extensions",
        "20 sequences of 10 symbols that agree in the middle",
        Memory.conflicting(20, 10),
        Network(units=64),
        "All sequences are learned side by side in random order: batches and shuffling are no obstacle to memory.",
    ),
    System(
        "memory-random",
        "extensions",
        "20 random sequences of 20 symbols",
        _random_sequences(20, 20, 10),
        Network(units=64),
        "Asked where everything before leaves one possibility.",
    ),
    System(
        "memory-100",
        "extensions",
        "two sequences of 100 symbols that agree in the middle",
        Memory.conflicting(2, 100),
        Network(units=64),
        "Gates initialised for lags as long as the sequence (chrono); otherwise the middle teaches it to forget.",
    ),
    System(
        "memory-1000",
        "extensions",
        "two sequences of 1,000 symbols that agree in the middle",
        Memory.conflicting(2, 1000),
        Network(units=64),
        "As above, ten times as long.",
    ),
    System(
        "missing",
        "extensions",
        "an echo with a fifth of the numbers missing",
        Echo(100, 1, missing=0.2),
        _GRU,
        "A missing number is a symbol of its own in the input and never asked for.",
    ),
    System("echo-2", "extensions", "an echo with lag 2", Echo(100, 2), _GRU, "A shift register of two numbers."),
    System("echo-5", "extensions", "an echo with lag 5", Echo(100, 5), Network("gru", units=128), "And of five."),
    System(
        "sub-sequence",
        "extensions",
        "echoing a lagged part of a sequence: 3 numbers out of 8",
        Replay(length=8, first=1, count=3),
        Network("gru", units=96),
        "What will be asked for has to be kept while the rest goes by.",
    ),
    System(
        "whole-sequence",
        "extensions",
        "the entire sequence as context: all 5 numbers again, in order",
        Replay(),
        _GRU,
        "Nothing is fed in again: all five are in the state.",
    ),
)
