"""Problems of `stepcell train` whose sequences are read from files. Each function makes one from its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ...runtime.commands import options as opt

if TYPE_CHECKING:
    from ...runtime.data import HeldOut

_HeldOut = Annotated[str, opt.data(
    "Fraction held out for evaluation, or a file to evaluate on.", metavar="FRACTION|FILE")]  # fmt: skip
_Split = Annotated[Literal["random", "time", "last"] | None, opt.data(
    "Hold out sequences at random, those that begin last, or all events from some time on.",
    "random; time for a single sequence")]  # fmt: skip
_MinCount = Annotated[int, opt.data("Occurrences that a symbol needs to be in the vocabulary.", min=1)]
_MaxSymbols = Annotated[int, opt.data("Largest size of the vocabulary.", min=2)]


def _held_out(value: str) -> tuple[float, Path | None]:
    """Return the fraction to hold out, and the file if one is named instead."""
    try:
        return float(value), None
    except ValueError:
        return 0.1, Path(value)


def _number(text: str) -> float | None:
    """Return the number that `text` is; negative and infinite ones are refused where their meaning is known."""
    try:
        return float(text)
    except ValueError:
        return None


def _held_out_part(held_out: str, split: str | None) -> tuple[HeldOut, Path | None]:
    """Return the part to hold out, and the file if one is named instead.

    Raises:
        CorpusError: A fraction that makes no sense.
        OptionError: There is a file, and a split.
    """
    from ...runtime.common.errors import OptionError
    from ...runtime.data import HeldOut

    share, file = _held_out(held_out)
    if file is not None and split is not None:
        raise OptionError(f"--held-out {file} is a file, which is held out whole: leave out --split {split}.")
    return HeldOut(share, "sequence" if split == "random" else split), file


def text(
    file: Annotated[Path, opt.argument("Text, or folder of texts, each a sequence.")],
    unit: opt.Unit = None,
    held_out: _HeldOut = "0.1",
    min_count: Annotated[int | None, opt.data(
        "Occurrences that a symbol needs to be in the vocabulary.",
        "1; of more than 2,000 different words 2, or as many as --max-symbols needs", min=1)] = None,
    max_symbols: _MaxSymbols = 10_000,
    end: opt.End = "<end>",
    encoding: opt.Encoding = None,
    inherited: Any = None,
) -> Any:  # fmt: skip
    """Learn the next character, byte or word of a text; the end of the text is held out for evaluation.

    Example: stepcell train text book.txt --units 256 --out runs/book
    """
    from ...runtime.data import HeldOut, TextReader
    from ..problems.text import Text

    share, held_out_file = _held_out(held_out)
    HeldOut(share)  # which checks it before the file is read
    reader = TextReader(unit or "character", encoding or "utf-8", end or None)
    return Text.from_file(file, share, reader, min_count, max_symbols, held_out_file, inherited)


def series(
    file: Annotated[Path, opt.argument("Table of numbers: CSV, TSV, JSON lines or Parquet; .gz too.")],
    value: Annotated[list[str] | None, opt.data(
        "Column of the values to forecast or compute; repeatable.", "those of the run of --from",
        metavar="COLUMN")] = None,
    feature: Annotated[list[str] | None, opt.data(
        "Column of numbers to read as the feature NAME; repeatable.", "the values alone", flag="--feature",
        metavar="[NAME=]COLUMN")] = None,
    ahead: Annotated[int, opt.data(
        "Forecast the value so many rows later, from all values and features up to its row; 0: compute the value of "
        "the row from its features (regression).", min=0)] = 1,
    sequence: opt.Sequence = None,
    order: opt.Order = None,
    format: Annotated[Literal["csv", "tsv", "jsonl", "parquet"] | None, opt.data(
        "Format of the file.", "by its name")] = None,
    delimiter: opt.Delimiter = None,
    header: opt.Header = None,
    encoding: opt.Encoding = None,
    time_format: opt.TimeFormat = None,
    time_unit: opt.TimeUnit = None,
    time_zone: opt.TimeZone = None,
    bad_lines: Annotated[Literal["stop", "skip"], opt.data(
        "At a row that cannot be read or lacks a number, stop or skip it.")] = "stop",
    held_out: _HeldOut = "0.1",
    split: _Split = None,
    loss: Annotated[Literal["mse", "mae", "huber"], opt.training(
        "Error to reduce: squared, absolute, or squared within one standard deviation and absolute beyond.")] = "mse",
    inherited: Any = None,
    scaling: Any = None,
) -> Any:  # fmt: skip
    """Learn to forecast a value of a time series, or to compute it from other columns (regression).

    Numbers are scaled within the model. It is evaluated beside the last value and the mean on rows held out.

    Example: stepcell train series weather.csv --value temperature --order time --out runs/weather
    Example: stepcell train series power.csv --value watts --feature volts --feature amps --ahead 0 --out runs/power
    """
    from ...runtime.common.errors import OptionError
    from ...runtime.data import EventsReader, features_of
    from ..problems.series import Series

    if not value:
        raise OptionError("Name the column of the values to forecast or compute: --value COLUMN.")
    features = features_of(feature or ())
    if ahead:
        features = {**features_of([column for column in value if column not in features.values()]), **features}
    part, held_out_file = _held_out_part(held_out, split)
    reader = EventsReader(
        (), sequence, order, format, delimiter, header is not False, encoding or "utf-8", time_format,
        features=features, time_unit=time_unit, time_zone=time_zone, bad_lines=bad_lines,
    )  # fmt: skip
    return Series.from_file(
        file, reader, value, ahead=ahead, loss=loss, split=part, held_out_file=held_out_file, inherited=inherited,
        scaling=scaling,
    )  # fmt: skip


def events(
    file: Annotated[Path, opt.argument("CSV, TSV, JSON lines, Parquet, or a sequence on each line; .gz too.")],
    symbol: opt.Symbol = None,
    template_column: Annotated[str | None, opt.data(
        "Column of raw log messages, in place of --symbol: an event is the template of its message, whose variable "
        "words are <*>.", "none", metavar="COLUMN")] = None,
    sequence: opt.Sequence = None,
    order: opt.Order = None,
    format: Annotated[opt.TableFormat | None, opt.data("Format of the file.", "by its name")] = None,
    delimiter: opt.Delimiter = None,
    header: opt.Header = None,
    encoding: opt.Encoding = None,
    join: opt.Join = None,
    time_format: opt.TimeFormat = None,
    time_unit: opt.TimeUnit = None,
    time_zone: opt.TimeZone = None,
    gaps: opt.Gaps = None,
    features: opt.Features = None,
    label: Annotated[str | None, opt.data(
        "Column of labels: learn the label of each row in place of the next event.", "none")] = None,
    gap_feature: Annotated[bool, opt.data(
        'Read the time since the previous event as the feature "gap", in seconds.', flag="--gap-feature")] = False,
    end: opt.End = "<end>",
    min_count: _MinCount = 1,
    max_symbols: _MaxSymbols = 10_000,
    held_out: _HeldOut = "0.1",
    split: _Split = None,
    class_balance: Annotated[float, opt.data(
        "Weight of rare symbols in training; 0: off, 1: inverse class frequency.")] = 0.0,
    symbol_weight: Annotated[list[str] | None, opt.data(
        "Weight of a symbol in training, relative to the others; repeatable.", metavar="SYMBOL=FACTOR")] = None,
    inherited: Any = None,
    sequence_weights: Annotated[bool, opt.data(
        "Let each sequence weigh the same in training, whatever its length; otherwise each event does.",
        flag="--sequence-weights")] = False,
    templates: Any = None,
) -> Any:  # fmt: skip
    """Learn the next event of each sequence in a file, or its label; some sequences are held out for evaluation.

    Example: stepcell train events log.csv --symbol activity --sequence case --order time --out runs/log
    Example: stepcell train events log.csv --symbol activity --sequence case --label outcome --out runs/outcome
    Example: stepcell train events log.csv --template-column message --sequence host --out runs/messages
    Example: stepcell train events new.csv --from runs/log --out runs/log2
    """
    from dataclasses import replace

    from ...runtime.common.errors import OptionError, raise_if_any
    from ...runtime.data import EventsReader, features_of
    from ..problems.events import Events

    pairs = [one.rpartition("=") for one in symbol_weight or ()]
    wrong = [f"--symbol-weight {a}{b}{c} is not SYMBOL=FACTOR" for a, b, c in pairs if not a or _number(c) is None]
    raise_if_any(wrong, "These events cannot be learned")
    ends = end if end and label is None and (sequence or format == "lines") else None
    part, held_out_file = _held_out_part(held_out, split)
    reader = EventsReader(
        tuple(symbol) if symbol else None, sequence, order, format, delimiter, header is not False, encoding or "utf-8",
        time_format, gaps, ends, features_of(features or ()), gap_feature, "=" if join is None else join, time_unit,
        time_zone,
    )  # fmt: skip
    if templates:  # of the run that is gone on from
        reader = replace(reader, symbol=template_column or reader.symbol, templates=templates)
        if inherited.grow:
            reader = reader.with_templates(file)
    elif template_column is not None:
        if inherited is not None:
            raise OptionError("The run of --from has learned no templates of messages: leave out --template-column.")
        if symbol:
            raise OptionError("--template-column names the column of the events: leave out --symbol.")
        reader = replace(reader, symbol=template_column).with_templates(file)
    values: dict[str, Any] = {
        "split": part, "held_out_file": held_out_file, "inherited": inherited,
        "min_count": min_count, "max_symbols": max_symbols, "class_balance": class_balance,
        "symbol_weights": {name: float(factor) for name, _, factor in pairs}, "sequence_weights": sequence_weights,
    }  # fmt: skip
    if label is not None:
        from ..problems.labels import LabelledEvents

        return LabelledEvents.from_labelled_file(file, reader, label, **values)
    return Events.from_file(file, reader, **values)
