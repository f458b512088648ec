"""What readers of the tutorials ask, and nobody has answered there."""

from __future__ import annotations

from ...network.network import Network
from ...problems.alphabet import Alphabet
from ...problems.echo import Echo
from ...problems.memory import Memory
from ...problems.replay import Replay
from .system import System

_SMALL = Network(units=32)

QUESTIONS: tuple[System, ...] = (
    System(
        "echo-production",
        "questions",
        "an echo in production: one number at a time, nothing else given",
        Echo(100, 1),
        Network("gru", units=64),
        "Trained on endless streams with the state carried, judged on streams of 2,000 numbers.",
    ),
    System(
        "cyclic",
        "questions",
        "the alphabet from any letter, round and round; the next N letters",
        Alphabet(cyclic=True),
        _SMALL,
        "Judged by 100 letters from each of the 26. All of them right is what feeding back its own answers gives.",
    ),
    System(
        "patterns",
        "questions",
        "repeated patterns: AAAABBBCCD",
        Memory((tuple("AAAABBBCCD"),)),
        Network(units=24),
        "How many A's have been seen is in the state and nowhere else.",
    ),
    System(
        "context",
        "questions",
        "ABCDEFABCXYZ, where A B C need context",
        Memory((tuple("ABCDEFABCXYZ"),)),
        Network(units=24),
        "After the second C comes X: the state has to know which round it is.",
    ),
    System(
        "reverse",
        "questions",
        "reversing a sequence of 5 numbers",
        Replay(reverse=True),
        Network("gru", units=64),
        "The answers come after the last number, one for each question mark.",
    ),
    System(
        "scrambled",
        "questions",
        "scrambled letters, so that numbers carry no order",
        Alphabet(cyclic=True, scrambled=1),
        _SMALL,
        "One-hot letters have no order to begin with: it makes no difference.",
    ),
)
