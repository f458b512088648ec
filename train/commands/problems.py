"""Problems of `stepcell train` whose sequences are generated. Each function makes one from its options."""

from __future__ import annotations

from typing import Annotated, Any

from ...runtime.commands.options import data


def memory(
    sequence: Annotated[list[str] | None, data(
        "Sequence to learn, its symbols separated by commas; repeatable.", "generated sequences")] = None,
    sequences: Annotated[int, data("Number of conflicting sequences to generate.")] = 2,
    length: Annotated[int, data("Symbols in each generated sequence.")] = 5,
    symbols: Annotated[int | None, data("Number of symbols of generated sequences.", "the fewest possible")] = None,
) -> Any:  # fmt: skip
    """Learn sequences that agree in the middle: 3,0,1,2,3 and 4,0,1,2,4. The last symbol depends on the first.

    Example: stepcell train memory --out runs/memory
    """
    from ..problems.memory import Memory

    if sequence:
        return Memory(tuple(tuple(part.strip() for part in one.split(",")) for one in sequence))
    return Memory.conflicting(sequences, length, symbols)


def alphabet(
    symbols: Annotated[int, data("Number of letters; above 26 they are numbers.")] = 26,
    cyclic: Annotated[bool, data("Whether A follows Z, or nothing.")] = True,
    scrambled: Annotated[int | None, data("Seed of a random order of the letters.", "in order")] = None,
    shortest: Annotated[int, data("Letters in the shortest sequence.")] = 1,
    longest: Annotated[int, data("Letters in the longest sequence.")] = 5,
) -> Any:
    """Learn the next letter after each letter, in sequences that begin anywhere and have any length.

    Example: stepcell train alphabet --longest 9 --out runs/alphabet
    """
    from ..problems.alphabet import Alphabet

    return Alphabet(symbols, cyclic, scrambled, shortest, longest)


def echo(
    symbols: Annotated[int, data("Number of symbols.")] = 100,
    lag: Annotated[int, data("Steps between a symbol and its repetition.")] = 1,
    missing: Annotated[float, data('Fraction of the inputs replaced by "missing".')] = 0.0,
) -> Any:
    """Learn to repeat random symbols, each --lag steps later. Only the state knows them.

    Example: stepcell train echo --lag 4 --out runs/echo
    """
    from ..problems.echo import Echo

    return Echo(symbols, lag, missing)


def replay(
    symbols: Annotated[int, data("Number of symbols.")] = 10,
    length: Annotated[int, data("Symbols in a sequence.")] = 5,
    first: Annotated[int, data("Index of the first symbol to repeat, from 0.")] = 0,
    count: Annotated[int | None, data("Number of symbols to repeat.", "all from --first on")] = None,
    reverse: Annotated[bool, data("Repeat the last symbol first.", flag="--reverse")] = False,
    shortest: Annotated[int | None, data("Symbols in the shortest sequence.", "as --length")] = None,
) -> Any:
    """Learn to repeat a random sequence after its end, in whole, in part or backwards; a "?" asks for each symbol.

    Example: stepcell train replay --reverse --out runs/replay
    """
    from ..problems.replay import Replay

    return Replay(symbols, length, first, count, reverse, shortest)


def recall(
    lag: Annotated[int, data("Distractors between the key and the question.")] = 100,
    keys: Annotated[int, data("Number of different keys.")] = 10,
    distractors: Annotated[int, data("Number of different distractors.")] = 8,
    extra: Annotated[int, data("Largest number of further distractors, drawn at random.")] = 0,
) -> Any:
    """Learn to recall a key after --lag random distractors.

    Example: stepcell train recall --lag 1000 --out runs/recall
    """
    from ..problems.recall import Recall

    return Recall(lag, keys, distractors, extra)


def reber() -> Any:
    """Learn the embedded Reber grammar: the second symbol of a string decides the last but one.

    Example: stepcell train reber --out runs/reber
    """
    from ..problems.reber import Reber

    return Reber()


def order(marks: Annotated[int, data("Number of marked symbols, 2 or 3.")] = 2) -> Any:
    """Learn the order of marked symbols that are far apart in a sequence of 100.

    Example: stepcell train order --marks 3 --out runs/order
    """
    from ..problems.order import Order

    return Order(marks)
