"""The commands that train: `stepcell train PROBLEM`. Each makes its problem from its options; the rest is common."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .train import FileFormat, trains

if TYPE_CHECKING:
    from ..problems.problem import Problem
else:
    Problem = Any  # the annotations are read at run time, when TensorFlow must not be imported


class Unit(str, Enum):
    """What a symbol of a text is."""

    character = "character"
    byte = "byte"
    word = "word"


class Split(str, Enum):
    """By what events are held out."""

    sequence = "sequence"
    time = "time"


_MinCount = Annotated[int, typer.Option("--min-count", min=1, help="Symbols learned from less often are unknown.")]
_MaxSymbols = Annotated[int, typer.Option("--max-symbols", min=2, help="Refuse a vocabulary that is larger.")]
_Encoding = Annotated[str, typer.Option("--encoding", help="Of the file.")]

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
    from ..problems.memory import Memory

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
    from ..problems.alphabet import Alphabet

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
    from ..problems.echo import Echo

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
    from ..problems.replay import Replay

    return Replay(symbols, length, first, count, reverse, shortest)


@trains(app, "recall", units=64)
def train_recall(
    lag: Annotated[int, typer.Option("--lag", help="Distractors between the key and the question.")] = 100,
    keys: Annotated[int, typer.Option("--keys", help="Different keys.")] = 10,
    distractors: Annotated[int, typer.Option("--distractors", help="Different distractors.")] = 8,
    extra: Annotated[int, typer.Option("--extra", help="Up to so many distractors more.")] = 0,
) -> Problem:
    """A key, LAG random distractors, and the question what the key was."""
    from ..problems.recall import Recall

    return Recall(lag, keys, distractors, extra)


@trains(app, "reber", units=16)
def train_reber() -> Problem:
    """The embedded Reber grammar: the second symbol of a string decides the second to last."""
    from ..problems.reber import Reber

    return Reber()


@trains(app, "order", units=32)
def train_order(
    marks: Annotated[int, typer.Option("--marks", help="2 or 3.")] = 2,
) -> Problem:
    """Marked symbols far apart in a sequence of 100; at its end their order is asked for."""
    from ..problems.order import Order

    return Order(marks)


@trains(app, "text", units=128)
def train_text(
    file: Annotated[Path, typer.Argument(help="A text, or a folder of texts, each a sequence.", show_default=False)],
    unit: Annotated[Unit, typer.Option("--unit", help="What a symbol is.")] = Unit.character,
    held_out: Annotated[float, typer.Option("--held-out", help="Share to judge by: the end of the text.")] = 0.1,
    min_count: _MinCount = 1,
    max_symbols: _MaxSymbols = 10_000,
    end: Annotated[str, typer.Option("--end", help="Symbol before and behind each file of a folder.")] = "<end>",
    encoding: _Encoding = "utf-8",
) -> Problem:
    """The next character, byte or word of a text, judged on a part of it that was held out."""
    from ...runtime.data import TextReader
    from ..problems.text import Text

    reading = TextReader(unit.value, encoding, end or None)
    return Text.from_file(file, held_out, reading, min_count, max_symbols)


@trains(app, "events", units=64)
def train_events(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, TSV, JSON lines, Parquet, or a sequence on each line; .gz too.", show_default=False),
    ],
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="Column of the symbol; by default the only one.")
    ] = None,
    sequence: Annotated[
        str | None, typer.Option("--sequence", help="Column that tells sequences apart; by default all is one.")
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="Column of the time or number that orders a sequence.")
    ] = None,
    format: Annotated[FileFormat | None, typer.Option("--format", help="By default as the file is named.")] = None,
    delimiter: Annotated[str | None, typer.Option("--delimiter", help="Between columns; by default found out.")] = None,
    header: Annotated[bool, typer.Option("--header/--no-header", help="Whether the first line names columns.")] = True,
    encoding: _Encoding = "utf-8",
    time_format: Annotated[
        str | None, typer.Option("--time-format", help="Of --order, like '%d.%m.%Y %H:%M'; by default ISO 8601.")
    ] = None,
    gaps: Annotated[
        str | None,
        typer.Option("--gaps", help="Make the time between events symbols, in ranges that end at 1min,1h for example."),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            "--feature", metavar="[NAME=]COLUMN",
            help="Column of numbers to read beside the symbol, raw; repeatable. NAME is what the model calls it.",
        ),
    ] = None,
    gap_feature: Annotated[
        bool, typer.Option("--gap-feature", help="Read the time since the event before as a feature, called gap.")
    ] = False,
    end: Annotated[str, typer.Option("--end", help="Symbol before and behind each sequence; empty: none.")] = "<end>",
    min_count: _MinCount = 1,
    max_symbols: _MaxSymbols = 10_000,
    held_out: Annotated[float, typer.Option("--held-out", help="Share to judge by.")] = 0.1,
    split: Annotated[
        Split | None,
        typer.Option("--split", help="Hold out some sequences, or all from a time on; by default sequences."),
    ] = None,
    class_balance: Annotated[
        float, typer.Option("--class-balance", help="Weigh rare symbols more: 0 not, 1 until all kinds weigh the same.")
    ] = 0.0,
    symbol_weight: Annotated[
        list[str] | None, typer.Option("--symbol-weight", help="SYMBOL=FACTOR: weigh this one more; repeatable.")
    ] = None,
) -> Problem:  # fmt: skip
    """The next event of each sequence in a file, judged on sequences that were held out."""
    from ...runtime.common.errors import raise_if_any
    from ...runtime.data import EventsReader, HeldOut, features_of
    from ..problems.events import Events

    pairs = [one.rpartition("=") for one in symbol_weight or ()]
    wrong = [f"--symbol-weight {a}{b}{c}" for a, b, c in pairs if not a or not c.replace(".", "", 1).isdecimal()]
    raise_if_any([f"{one} is not SYMBOL=FACTOR" for one in wrong], "These events cannot be learned")
    ends = end if end and (sequence or format is FileFormat.lines) else None
    reading = EventsReader(
        symbol, sequence, order, format and format.value, delimiter, header, encoding, time_format, gaps, ends,
        features_of(feature or ()), gap_feature,
    )  # fmt: skip
    return Events.from_file(
        file, reading, split=HeldOut(held_out, split and split.value), min_count=min_count, max_symbols=max_symbols,
        class_balance=class_balance, symbol_weights={symbol: float(factor) for symbol, _, factor in pairs},
    )  # fmt: skip
