"""The commands that train: `stepcell train PROBLEM`. Each makes its problem from its options; the rest is common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .training_command import trains

if TYPE_CHECKING:
    from .problem import Problem
else:
    Problem = Any  # the annotations are read at run time, when TensorFlow must not be imported

app = typer.Typer(no_args_is_help=True, help="Train a network on a problem or on your own data.")


@trains(app, "memory", units=20)
def train_memory(
    sequence: Annotated[
        list[str] | None, typer.Option("--sequence", help="A sequence of your own, symbols with commas; repeatable.")
    ] = None,
    sequences: Annotated[int, typer.Option("--sequences", help="Conflicting sequences to make.")] = 2,
    length: Annotated[int, typer.Option("--length", help="Symbols in each of them.")] = 5,
    symbols: Annotated[int | None, typer.Option("--symbols", help="Alphabet size; by default the least.")] = None,
) -> Problem:
    """Two sequences that agree in the middle: 3,0,1,2,3 and 4,0,1,2,4. Only memory tells how they end."""
    from .memory import Memory

    if sequence:
        return Memory(tuple(tuple(part.strip() for part in one.split(",")) for one in sequence))
    return Memory.conflicting(sequences, length, symbols)


@trains(app, "alphabet", units=32)
def train_alphabet(
    symbols: Annotated[int, typer.Option("--symbols", help="Letters; above 26 they are numbers.")] = 26,
    cyclic: Annotated[bool, typer.Option("--cyclic/--no-cyclic", help="After Z comes A, or nothing.")] = True,
    scrambled: Annotated[
        int | None, typer.Option("--scrambled", help="Seed of another fixed order of the letters.")
    ] = None,
    shortest: Annotated[int, typer.Option("--shortest", help="Letters in the shortest sequence.")] = 1,
    longest: Annotated[int, typer.Option("--longest", help="Letters in the longest sequence.")] = 5,
) -> Problem:
    """The next letter after each letter, in sequences that begin anywhere and have any length."""
    from .alphabet import Alphabet

    return Alphabet(symbols, cyclic, scrambled, shortest, longest)


@trains(app, "echo", units=64)
def train_echo(
    symbols: Annotated[int, typer.Option("--symbols", help="Alphabet size.")] = 100,
    lag: Annotated[int, typer.Option("--lag", help="Answer with the symbol of so many steps ago.")] = 1,
    missing: Annotated[
        float, typer.Option("--missing", help='Share of the inputs in whose place "missing" comes.')
    ] = 0.0,
) -> Problem:
    """Random symbols, one at a time; the answer is the symbol LAG steps ago, which only the state can know."""
    from .echo import Echo

    return Echo(symbols, lag, missing)


@trains(app, "replay", units=64)
def train_replay(
    symbols: Annotated[int, typer.Option("--symbols", help="Alphabet size.")] = 10,
    length: Annotated[int, typer.Option("--length", help="Symbols in a sequence.")] = 5,
    first: Annotated[int, typer.Option("--first", help="First symbol to be asked for, counted from 0.")] = 0,
    count: Annotated[
        int | None, typer.Option("--count", help="How many are asked for; by default all from --first on.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Ask for the last of them first.")] = False,
    shortest: Annotated[
        int | None, typer.Option("--shortest", help="Symbols in the shortest sequence, if they vary.")
    ] = None,
) -> Problem:
    """A random sequence, then one "?" per answer: the sequence again, a part of it, or backwards."""
    from .replay import Replay

    return Replay(symbols, length, first, count, reverse, shortest)


@trains(app, "recall", units=64)
def train_recall(
    lag: Annotated[int, typer.Option("--lag", help="Distractors between the key and the question.")] = 100,
    keys: Annotated[int, typer.Option("--keys", help="Different keys.")] = 10,
    distractors: Annotated[int, typer.Option("--distractors", help="Different distractors.")] = 8,
    extra: Annotated[int, typer.Option("--extra", help="Up to so many distractors more.")] = 0,
) -> Problem:
    """A key, LAG random distractors, and the question what the key was."""
    from .recall import Recall

    return Recall(lag, keys, distractors, extra)


@trains(app, "reber", units=16)
def train_reber() -> Problem:
    """The embedded Reber grammar: the second symbol of a string decides the second to last."""
    from .reber import Reber

    return Reber()


@trains(app, "order", units=32)
def train_order(
    marks: Annotated[int, typer.Option("--marks", help="2 or 3.")] = 2,
) -> Problem:
    """Marked symbols far apart in a sequence of 100; at its end their order is asked for."""
    from .order import Order

    return Order(marks)


@trains(app, "text", units=128)
def train_text(
    file: Annotated[Path, typer.Argument(help="UTF-8 text.", show_default=False)],
    held_out: Annotated[float, typer.Option("--held-out", help="Share of the text, at its end, to judge by.")] = 0.1,
) -> Problem:
    """The next character of a file, judged on a part of it that was held out."""
    from .text import Text

    return Text.from_file(file, held_out)
