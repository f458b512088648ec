"""The text problem: the next character, byte or word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...runtime.data import MAX_SYMBOLS, TIME, Corpus, HeldOut, Inherited, Recording, TextReader
from ...runtime.data.text import WORD
from .recorded import EarlierData, RecordedProblem


@dataclass(frozen=True)
class Text(RecordedProblem):
    """The symbols of a text, each to be predicted from all before it; the last part is held out.

    Raises:
        CorpusError: It is too short, or repeats one symbol.
    """

    name = "text"

    learning_rate: ClassVar[Mapping[str, float]] = {"lstm": 0.02, "gru": 0.01, "rnn": 0.02}
    epochs, min_updates, evaluation_count = 15, 500, 15

    def __post_init__(self) -> None:
        """Check that there is something to learn."""
        self.check()

    @classmethod
    def of(
        cls, content: str, held_out: float = 0.1, reader: TextReader | None = None, min_count: int | None = 1
    ) -> Text:  # fmt: skip
        """Return the problem of a text in memory.

        Args:
            content: The text.
            held_out: Fraction at its end for evaluation.
            reader: The reader; None: characters.
            min_count: A symbol that is learned from less often is unknown.

        Raises:
            CorpusError: Nothing can be learned from it.
        """
        reader = reader or TextReader()
        return cls._of(Recording.of([reader.split(content)]), reader, held_out, min_count, MAX_SYMBOLS)

    @classmethod
    def from_file(
        cls,
        path: Path,
        held_out: float = 0.1,
        reader: TextReader | None = None,
        min_count: int | None = None,
        max_symbols: int = MAX_SYMBOLS,
        held_out_file: Path | None = None,
        inherited: Inherited | None = None,
    ) -> Text:
        """Read the file at `path`, or the folder, of which each file is then a sequence of its own.

        Args:
            path: A file or a folder.
            held_out: Fraction of the text, at its end, for evaluation.
            reader: The reader; None: characters in UTF-8.
            min_count: A symbol that is learned from less often is unknown. None: 1, but of words what `Corpus.of` says.
            max_symbols: There may not be more.
            held_out_file: File for evaluation in place of a fraction; None: there is none.
            inherited: What comes from an earlier training, the end symbol too; None: nothing.

        Raises:
            CorpusError: It cannot be read, or nothing can be learned from it.
        """
        reader = reader or TextReader()
        if held_out_file is None:
            return cls._of(reader.read(path), reader, held_out, min_count, max_symbols, inherited)
        train, rest = reader.read(path), reader.read(held_out_file)
        end = reader.end if len(train) > 1 else None
        min_count = 1 if min_count is None and reader.unit != WORD else min_count
        return cls(
            Corpus.of_parts(
                train, rest, end=end, min_count=min_count, max_symbols=max_symbols, reader=reader, inherited=inherited
            )
        )

    def of_earlier(self, path: Path, earlier: EarlierData) -> Text:
        """See `RecordedProblem.of_earlier`."""
        assert isinstance(earlier.reader, TextReader)
        share = HeldOut().share if earlier.split is None else earlier.split.share
        return type(self).from_file(
            path, share, earlier.reader, held_out_file=earlier.held_out_file, inherited=self.inherited
        )

    @classmethod
    def _of(
        cls, recording: Recording, reader: TextReader, held_out: float, min_count: int | None, most: int,
        inherited: Inherited | None = None,
    ) -> Text:  # fmt: skip
        split = HeldOut(held_out, None if len(recording) > 1 else TIME)
        min_count = 1 if min_count is None and reader.unit != WORD else min_count
        return cls(
            Corpus.of(
                recording, end=reader.end if len(recording) > 1 else None, min_count=min_count, max_symbols=most,
                reader=reader, split=split, closed=reader.unit != WORD, inherited=inherited,
            )
        )  # fmt: skip
