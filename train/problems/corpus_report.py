"""A table and a plot of the data, shown before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.plotting import Figure, new_figure, to_png
from ...runtime.data import Corpus, EncodedSequences, FeatureStats, Recording
from ...runtime.data.recording import counted
from ...runtime.data.storage import blocks, release
from ...runtime.evaluation.ngram import baselines
from ...runtime.format.vocabulary import show_symbol
from .problem import Score

_SHOWN = 5  # symbols in the table
_MOST_BARS, _MOST_PAIRS = 40, 20  # symbols in the picture, and in its table of pairs
_LONGEST_NAME = 18
_MOST_COUNTED = 500_000  # symbols that n-grams learn from, and that they predict: some seconds


@dataclass(frozen=True)
class CorpusReport:
    """The summary of a corpus before training.

    Attributes:
        corpus: The corpus.
    """

    corpus: Corpus

    @property
    def scales(self) -> tuple[FeatureStats, ...]:
        """See `DataSummary.scales`."""
        return self.corpus.feature_stats

    @property
    def values(self) -> None:
        """See `DataSummary.values`: there are none."""
        return

    def baselines(self) -> dict[str, Score]:
        """Return the n-gram with the fewest bits on the held-out data, and the frequencies alone; of labels these only.

        Of large data the n-grams learn from the last `_MOST_COUNTED` symbols and predict the first ones.
        """
        corpus = self.corpus
        train = _part(corpus.encoded_train, from_end=True)
        held_out = _part(corpus.encoded_held_out, from_end=False)
        if corpus.answers is not corpus.vocabulary:
            return {"the most frequent label": _of_frequencies(train, held_out, len(corpus.answers))}
        found = [one for one in baselines(train, held_out, len(corpus.vocabulary)) if one.has_probabilities]
        chosen = dict.fromkeys((min(found, key=lambda one: one.scores.bits), found[0]))
        return {one.name: Score(one.scores.accuracy, one.scores.nats, len(one.scores), len(held_out)) for one in chosen}

    def record(self) -> dict[str, Any]:
        """Return the entry of the model file with which other files are read and evaluated alike."""
        many = len(self.corpus.train) > 1
        framing = {"framing": "truncated BPTT over packed sequences, state reset before most of them"} if many else {}
        return {**framing, "data": self.corpus.to_json()}

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Return header, rows and remarks: sequences, symbols, lengths, and how many symbols are known."""
        corpus = self.corpus
        header = ["", "sequences", "symbols", "different", "shortest", "median", "longest", "known", "most frequent"]
        rows = [self._row(name, part) for name, part in (("learned", corpus.train), ("held out", corpus.held_out))]
        vocabulary = corpus.vocabulary
        extra = " and ".join(repr(symbol) for symbol in (vocabulary.unknown, corpus.end) if symbol is not None)
        known = len(vocabulary) - (vocabulary.unknown is not None) - (corpus.end is not None)
        often = f" that occur {corpus.min_count} times or more" if corpus.min_count > 1 else ""
        often = often if corpus.inherited is None else f" as in {corpus.inherited.source}"
        notes = [
            f"{corpus.train.source or 'sequences'}{': ' if corpus.train.found else ''}{corpus.train.found}",
            f"vocabulary: {known:,} symbols{often}{f', {extra}' if extra else ''}",
            *([] if corpus.answers is vocabulary else [f"labels: {', '.join(map(_name, corpus.answers.symbols))}"]),
            *([f"features: {', '.join(map(_spread, self.scales))}"] if self.scales else []),
            *corpus.train.remarks,
        ]
        return header, rows, "\n".join(notes)

    def picture(self) -> bytes | None:
        """Return a PNG of lengths, frequencies and pairs of successive symbols; None without matplotlib."""
        figure = new_figure(13, 4)
        if figure is None:
            return None
        lengths, frequencies, pairs = figure.subplots(1, 3)
        self._draw_lengths(lengths)
        self._draw_frequencies(frequencies)
        self._draw_pairs(figure, pairs)
        return to_png(figure)

    def _row(self, name: str, part: Recording) -> list[str]:
        counts, lengths = part.counts(), part.lengths
        vocabulary = self.corpus.vocabulary
        known = sum(int(n) for symbol, n in zip(part.symbols, counts, strict=True) if symbol in vocabulary)
        top = np.argsort(-counts, kind="stable")[:_SHOWN]
        return [
            name,
            f"{len(part):,}",
            f"{len(part.ids):,}",
            f"{int((counts > 0).sum()):,}",
            f"{int(lengths.min()):,}",
            f"{int(np.median(lengths)):,}",
            f"{int(lengths.max()):,}",
            f"{100 * known / len(part.ids):.2f} %",
            ", ".join(
                f"{_name(part.symbols[id])} {100 * counts[id] / len(part.ids):.0f} %" for id in top if counts[id]
            ),
        ]

    def _draw_lengths(self, axes: Any) -> None:
        learned, held_out = self.corpus.train.lengths, self.corpus.held_out.lengths
        longest = int(max(learned.max(), held_out.max()))
        wide = longest > 100
        edges = np.unique(np.geomspace(1, longest + 1, 41).astype(int)) if wide else np.arange(0.5, longest + 1)
        edges = edges if min(learned.min(), held_out.min()) else np.concatenate([[-0.5], edges])
        axes.hist([learned, held_out], bins=edges, stacked=True, color=["tab:blue", "tab:orange"],
                  label=["learned", "held out"])  # fmt: skip
        axes.set(xlabel="symbols in a sequence", ylabel="sequences", xscale="log" if wide else "linear")
        axes.legend()

    def _draw_frequencies(self, axes: Any) -> None:
        counts, vocabulary = self._counts(), self.corpus.answers
        order = np.argsort(-counts, kind="stable")
        if len(order) <= _MOST_BARS:
            axes.bar(range(len(order)), counts[order], color="tab:blue")
            axes.set_xticks(
                range(len(order)), [_name(vocabulary.decode(int(i))) for i in order], rotation=90, fontsize=7
            )
        else:
            axes.plot(np.arange(1, len(order) + 1), counts[order], color="tab:blue")
            axes.set(xscale="log", xlabel="symbols, the most frequent first")
        axes.set(yscale="log", ylabel="how often to be predicted")
        axes.grid(alpha=0.3)

    def _draw_pairs(self, figure: Figure, axes: Any) -> None:
        tape, corpus, counts = self.corpus.encoded_train, self.corpus, self._counts()
        are_next = corpus.answers is corpus.vocabulary
        read = counts if are_next else counted(tape.inputs, len(corpus.vocabulary))
        (rows, before), (columns, after) = (_most_frequent(each) for each in (read, counts))
        table = np.zeros((len(rows), len(columns)))
        for block in blocks(len(tape)):
            row, column = before[tape.inputs[block]], after[tape.targets[block]]
            shown = (row >= 0) & (column >= 0) & (tape.weights[block] > 0)
            np.add.at(table, (row[shown], column[shown]), 1)
            release(tape.inputs, tape.targets, tape.weights)
        image = axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        names = [_name(corpus.answers.decode(int(id))) for id in columns]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        names = [_name(corpus.vocabulary.decode(int(id))) for id in rows]
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set(xlabel="how often this follows" if are_next else "how often with this label", ylabel="this")
        figure.colorbar(image, ax=axes)

    def _counts(self) -> AnyArray:
        """Return how often each symbol or label is an answer while learning, int64 of shape (K,)."""
        tape = self.corpus.encoded_train
        return counted(tape.targets, len(self.corpus.answers), tape.weights)


def _part(sequences: EncodedSequences, *, from_end: bool) -> EncodedSequences:
    """Return `_MOST_COUNTED` symbols at most, of whole sequences if there are several."""
    starts = sequences.starts
    if len(sequences) <= _MOST_COUNTED:
        return sequences
    if len(starts) == 2 and from_end:
        return sequences.last(_MOST_COUNTED)
    if len(starts) == 2:
        chosen = np.array([0, _MOST_COUNTED])
    elif from_end:
        chosen = starts[min(int(np.searchsorted(starts, len(sequences) - _MOST_COUNTED)), len(starts) - 2) :]
    else:
        chosen = starts[: max(int(np.searchsorted(starts, _MOST_COUNTED, "right")), 2)]
    own = slice(int(chosen[0]), int(chosen[-1]))
    return EncodedSequences(
        sequences.inputs[own], sequences.targets[own], sequences.weights[own], (chosen - chosen[0]).astype(np.int64)
    )


def _of_frequencies(train: EncodedSequences, held_out: EncodedSequences, labels: int) -> Score:
    """Return the score of the frequencies of labels, each seen once more than it was."""
    counts = np.bincount(train.targets[train.weights > 0], minlength=labels) + 1.0
    targets = held_out.targets[held_out.weights > 0]
    nats = -np.log(counts / counts.sum())[targets].mean()
    return Score(float((targets == counts.argmax()).mean()), float(nats), len(targets), len(held_out))


def _most_frequent(counts: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return the ids that occur most often, and the position of each id among them, -1 for the others."""
    chosen = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
    place = np.full(len(counts), -1)
    place[chosen] = np.arange(len(chosen))
    return chosen, place


def _spread(scale: FeatureStats) -> str:
    """Return a feature and how far it spreads in a few words."""
    seen = "log(1 + x) " if scale.logarithmic else ""
    return f"{scale.name} ({seen}{scale.mean:.4g} ± {scale.variance**0.5:.3g})"


def _name(symbol: str) -> str:
    """Return a symbol as it can be read among others; blanks and punctuation marks in quotes."""
    name = show_symbol(symbol) if any(character.isalnum() for character in symbol) else repr(symbol)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
