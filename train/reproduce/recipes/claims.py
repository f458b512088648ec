"""What was claimed, by whom, for which recipe."""

from __future__ import annotations

from dataclasses import dataclass

from .alphabet import AlphabetWindow
from .alphabet_stateful import AlphabetStateful
from .alphabet_variable import AlphabetVariable
from .echo import EchoCurrent, EchoPrevious
from .memory import MemoryRecipe
from .outcome import PublishedRecipe

_SITE = "https://machinelearningmastery.com"
_MEMORY = f"{_SITE}/memory-in-a-long-short-term-memory-network/"
_ECHO = f"{_SITE}/learn-echo-random-integers-long-short-term-memory-recurrent-neural-networks/"
_ALPHABET = f"{_SITE}/understanding-stateful-lstm-recurrent-neural-networks-python-keras/"


@dataclass(frozen=True)
class Claim:
    """What a page says about a recipe.

    Attributes:
        name: Short and unique.
        about: What is learned, in words.
        accuracy: The share of right answers that is claimed, 0 to 1.
        source: The page.
        recipe: What it says to do, with its values as defaults.
    """

    name: str
    about: str
    accuracy: float
    source: str
    recipe: PublishedRecipe


CLAIMS = (
    Claim("memory", "two sequences that agree in the middle", 1.0, _MEMORY, MemoryRecipe()),
    Claim("echo-current", "the number that is shown", 1.0, _ECHO, EchoCurrent()),
    Claim("echo-mistake", "the number before, without context", 0.0, _ECHO, EchoPrevious()),
    Claim("echo-context", "the number before, 5 numbers as context", 1.0, _ECHO, EchoPrevious(context=5, batch=5)),
    Claim("alphabet-letter", "the next letter from one", 0.84, _ALPHABET, AlphabetWindow()),
    Claim(
        "alphabet-features",
        "the next letter from three features",
        0.8696,
        _ALPHABET,
        AlphabetWindow(window=3, as_features=True),
    ),
    Claim("alphabet-steps", "the next letter from three time steps", 1.0, _ALPHABET, AlphabetWindow(window=3)),
    Claim(
        "alphabet-batch",
        "the next letter, the alphabet in one batch",
        1.0,
        _ALPHABET,
        AlphabetWindow(epochs=5_000, units=16, batch=0, shuffle=False),
    ),
    Claim("alphabet-stateful", "the alphabet from A, state carried", 1.0, _ALPHABET, AlphabetStateful()),
    Claim("alphabet-variable", "the next letter from one to five, padded", 0.989, _ALPHABET, AlphabetVariable()),
)
