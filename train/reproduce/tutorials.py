"""The systems of the popular tutorials, with their claims and recipes."""

from __future__ import annotations

from ..network.network import Network
from ..problems.alphabet import Alphabet
from ..problems.echo import Echo
from ..problems.memory import Memory
from ..problems.problem import Problem
from .alphabet import AlphabetStateful, AlphabetVariable, AlphabetWindow
from .echo import EchoCurrent, EchoPrevious
from .memory import MemoryRecipe
from .recipe import PublishedRecipe
from .system import Claim, System

_SITE = "https://machinelearningmastery.com"
_MEMORY_PAGE = f"{_SITE}/memory-in-a-long-short-term-memory-network/"
_ECHO_PAGE = f"{_SITE}/learn-echo-random-integers-long-short-term-memory-recurrent-neural-networks/"
_ALPHABET_PAGE = f"{_SITE}/understanding-stateful-lstm-recurrent-neural-networks-python-keras/"


CLAIMS = (
    Claim("memory", "two sequences that agree in the middle", 1.0, _MEMORY_PAGE, MemoryRecipe()),
    Claim("echo-current", "the number that is shown", 1.0, _ECHO_PAGE, EchoCurrent()),
    Claim("echo-mistake", "the number before, without context", 0.0, _ECHO_PAGE, EchoPrevious()),
    Claim("echo-context", "the number before, 5 numbers as context", 1.0, _ECHO_PAGE, EchoPrevious(context=5, batch=5)),
    Claim("alphabet-letter", "the next letter from one", 0.84, _ALPHABET_PAGE, AlphabetWindow()),
    Claim(
        "alphabet-features", "the next letter from three features", 0.8696, _ALPHABET_PAGE,
        AlphabetWindow(window=3, as_features=True),
    ),
    Claim("alphabet-steps", "the next letter from three time steps", 1.0, _ALPHABET_PAGE, AlphabetWindow(window=3)),
    Claim(
        "alphabet-batch", "the next letter, the alphabet in one batch", 1.0, _ALPHABET_PAGE,
        AlphabetWindow(epochs=5_000, units=16, batch=0, shuffle=False),
    ),
    Claim("alphabet-stateful", "the alphabet from A, state carried", 1.0, _ALPHABET_PAGE, AlphabetStateful()),
    Claim("alphabet-variable", "the next letter from one to five, padded", 0.989, _ALPHABET_PAGE, AlphabetVariable()),
)  # fmt: skip
_CLAIMS: dict[str, Claim] = {claim.name: claim for claim in CLAIMS}
_ALPHABET = Alphabet(cyclic=False)
_SMALL = Network(units=32)


def _system(name: str, problem: Problem, network: Network, reason: str, **variants: PublishedRecipe) -> System:
    claim = _CLAIMS[name]
    named = {key.replace("_", " "): recipe for key, recipe in variants.items()}
    return System(name, "tutorials", claim.about, problem, network, reason, claim, named)


TUTORIALS: tuple[System, ...] = (
    _system(
        "memory", Memory.conflicting(), Network(units=20),
        "Gradients never cross a step, so no memory is learned: what a random LSTM happens to keep is read out, and "
        "one that is frozen does as well, given time. Gradients through the whole sequence settle it.",
        with_a_softmax=MemoryRecipe(output="softmax"), frozen_LSTM_1000_epochs=MemoryRecipe(epochs=1_000, frozen=True),
        state_ignored=MemoryRecipe(stateful=False),
    ),
    _system("echo-current", Echo(100, 0), Network(units=15), "It is shown the answer: no memory is needed."),
    _system(
        "echo-mistake", Echo(100, 1), Network(units=64),
        "State goes from row i of a batch to row i of the next: with batches of 6 it holds the number of six steps "
        "ago, and the wanted one is nowhere. With batches of 1 it is there, but gradients that end after one step do "
        "not teach the cell to keep it. Gradients through the same sequences do.",
        batch_of_1=EchoPrevious(batch=1),
        gradients_through_the_sequence=EchoPrevious(epochs=4_000, batch=1, whole_sequence=True),
    ),
    _system(
        "echo-context", Echo(100, 1), Network(units=64),
        "The window holds the answer. The batches of 5 happen to fit the windows of 5, so that each row is one "
        "unbroken stream, and the state carried along is what lets the weights be stepped one number at a time. "
        "Trained on the same windows without carried state they fail there.",
        state_not_carried=EchoPrevious(context=5, batch=5, stateful=False),
    ),
    _system(
        "alphabet-letter", _ALPHABET, _SMALL,
        "The letter as one number between 0 and 1 is what makes it hard: one-hot letters need no memory at all.",
    ),
    _system("alphabet-features", _ALPHABET, _SMALL, "Three numbers that say the same as one do not help."),
    _system(
        "alphabet-steps", _ALPHABET, _SMALL,
        "The triples are known by heart; the last letter of other triples is not understood.",
    ),
    _system(
        "alphabet-batch", _ALPHABET, _SMALL,
        "It is 5,000 epochs that do it. Within a batch nothing is passed from one sample to the next, and the order of "
        "the samples makes no difference.",
    ),
    _system(
        "alphabet-stateful", Alphabet(cyclic=False, longest=25), _SMALL,
        "It counts positions and ignores the letters: shown K first, it answers B. Readers who leave shuffling on get "
        "about a third of the letters.",
        shuffling_left_on=AlphabetStateful(shuffle=True),
    ),
    _system(
        "alphabet-variable", _ALPHABET, _SMALL,
        "Padding with zeros is padding with A. Padded samples are answered, but the same letters without padding are "
        "mostly answered wrong; with a mask they are answered as well. stepcell has no padding symbol anywhere.",
        masked=AlphabetVariable(masked=True),
    ),
)  # fmt: skip
