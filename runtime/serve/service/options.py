"""The options of a service: those of the command, and the keys of its configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...common.errors import OptionError
from ..rotation import Rotation

WAIT, RESET, CONTINUE = "wait", "reset", "continue"


@dataclass(frozen=True)
class ServeOptions:
    """How a service reads, answers and keeps. An option is called as its attribute, with dashes.

    Attributes:
        store: File of the store.
        file: Files to read records from.
        follow: Wait for more at the end of these files.
        format: "csv" or "jsonl": records are rows of a table like that of the training; None: JSON objects or symbols.
        stream_field: Field of the stream of a record.
        seq_field: Field of its number.
        symbol_field: Field of its symbol.
        on_gap: At a number above the one that is expected "wait" for that, "reset" the stream, or "continue".
        require_start: Refuse a record of a stream in which no sequence has been started.
        unknown: At an unknown symbol "stop", "skip" the record with an error, or "use" the unknown symbol of the
            vocabulary; None: "use" where there is such a symbol, else "skip".
        bad_lines: At a record that cannot be read "stop", or "skip" it with an error.
        reset_on: Symbol after which a stream is reset; None: there is none.
        middle: Fresh streams begin in the middle of a sequence.
        top: How many of the likeliest symbols to name.
        offer_unknown: Name the unknown symbol, and the end symbol of a text, among them.
        threshold: File of calibrated thresholds; None: there is none.
        alert_below: Mark symbols that come with a probability below this; None: none is.
        out: File that answers are appended to; None: there is none.
        out_rotate: The size ("100MB") or "day" after which this file is rotated; None: it never is.
        commit_records: Most records of a transaction.
        commit_interval: Seconds from the first record of a transaction until it ends, at most.
        max_streams: How many streams are kept in memory.

    Raises:
        OptionError: Options do not go together; the message names all problems.
    """

    store: Path
    file: tuple[Path, ...] = ()
    follow: bool = False
    format: Literal["csv", "jsonl"] | None = None
    stream_field: str = "stream"
    seq_field: str = "seq"
    symbol_field: str = "symbol"
    on_gap: Literal["wait", "reset", "continue"] = "wait"
    require_start: bool = False
    unknown: Literal["stop", "skip", "use"] | None = None
    bad_lines: Literal["stop", "skip"] = "skip"
    reset_on: str | None = None
    middle: bool = False
    top: int = 1
    offer_unknown: bool = False
    threshold: Path | None = None
    alert_below: float | None = None
    out: Path | None = None
    out_rotate: str | None = None
    commit_records: int = 32
    commit_interval: float = 0.05
    max_streams: int = 10_000

    def __post_init__(self) -> None:
        """Check the options."""
        problems = []
        names = (self.stream_field, self.seq_field, self.symbol_field)
        if len(set(names)) < len(names):
            problems.append(f"stream, number and symbol stand in fields of their own, not in {', '.join(names)}")
        if self.follow and not self.file:
            problems.append("--follow needs --file")
        if self.out_rotate is not None:
            Rotation.parse(self.out_rotate)
            if self.out is None:
                problems.append("--out-rotate needs --out")
        if self.commit_records < 1 or self.commit_interval < 0 or self.max_streams < 1 or self.top < 1:
            problems.append("--commit-records, --max-streams and --top are 1 or more, --commit-interval is 0 or more")
        if problems:
            raise OptionError(f"These options do not go together: {'; '.join(problems)}.")

    @property
    def reads_stdin(self) -> bool:
        """Whether records come from stdin: no other source is named."""
        return not self.file
