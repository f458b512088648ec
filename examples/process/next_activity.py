"""The next activity of a business process by the protocol of Tax et al. 2017: the helpdesk log.

    curl -LO https://raw.githubusercontent.com/verenich/ProcessSequencePrediction/master/data/helpdesk.csv
    python examples/process/next_activity.py helpdesk.csv

The first two thirds of the cases are learned from (a tenth of them says when to stop), the last third is the test. What
a network sees are activities and how long each took, as symbols between them or (--gaps feature) as a number beside
each; it is asked for activities alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepcell.runtime.common.terminal import import_silently, print_table

import_silently("tensorflow")
from stepcell.export import export
from stepcell.runtime import Model, Vocabulary, load
from stepcell.runtime.data import Corpus, EncodedSequences, EventsReader, HeldOut, Recording, TimeBins, encode_sequences
from stepcell.runtime.evaluation import NGram
from stepcell.train import Events, Network, Options, fit, training_progress

END = "<end>"
GAPS = TimeBins.parse("1min,1h,1d,7d,21d")


@dataclass(frozen=True)
class Test:
    """Cases to predict, and what is asked of each answer.

    Attributes:
        tape: The cases, of N places.
        vocabulary: Its symbols.
        seen: How many activities of its case have been seen at each place, shape (N,).
        asked: Whether an activity, or the end, comes next, and not a gap; shape (N,).
    """

    tape: EncodedSequences
    vocabulary: Vocabulary
    seen: np.ndarray
    asked: np.ndarray

    @classmethod
    def of(
        cls, cases: Recording, vocabulary: Vocabulary, boundary: Mapping[str, Sequence[float]] | None = None
    ) -> Test:
        """Return the test that consists of `cases`, with the numbers of `boundary` beside the end."""
        tape = encode_sequences(cases, vocabulary, END, boundary)
        counts = ~np.isin(tape.inputs, GAPS.ids_in(vocabulary.symbols)) & ~tape.is_start
        before = np.cumsum(counts)
        seen = before - np.repeat(before[tape.starts[:-1]], np.diff(tape.starts))
        return cls(tape, vocabulary, seen, ~np.isin(tape.targets, GAPS.ids_in(vocabulary.symbols)))

    def row(self, name: str, answers: np.ndarray) -> list[str]:
        """Return a row of the table for `answers`, probabilities of shape (N, K)."""
        end, targets = self.vocabulary.encode(END), self.tape.targets
        answers = answers.astype(np.float64)
        answers[:, GAPS.ids_in(self.vocabulary.symbols)] = 0  # an activity is asked for
        answers /= answers.sum(axis=1, keepdims=True)
        right = answers.argmax(axis=1) == targets
        bits = -np.log2(np.maximum(answers[np.arange(len(targets)), targets], 2.0**-126))
        goes_on = answers.copy()
        goes_on[:, end] = 0
        every = self.asked & (self.seen >= 1)
        published = self.asked & (self.seen >= 2) & (targets != end)
        return [
            name, f"{right[published].mean():.4f}", f"{(goes_on.argmax(axis=1) == targets)[published].mean():.4f}",
            f"{right[every].mean():.4f}", f"{bits[every].mean():.4f}",
        ]  # fmt: skip

    def streamed(self, model: Model) -> np.ndarray:
        """Return the answers of `model` at each place, the state reset before each case."""
        stream, rows = model.stream(), []
        for first, end in zip(self.tape.starts[:-1], self.tape.starts[1:], strict=True):
            stream.reset()
            symbols = [self.vocabulary.decode(int(id)) for id in self.tape.inputs[first:end]]
            numbers = self.tape.features
            rows.append(stream.run(symbols, None if numbers is None else numbers.features(slice(first, end))))
        return np.concatenate(rows)


def main() -> None:
    """Train, export, stream, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, help="helpdesk.csv")
    parser.add_argument("--out", type=Path, default=Path("build/helpdesk"), help="folder for the model files")
    parser.add_argument("--gaps", choices=["symbols", "feature"], default="symbols", help="how time is seen")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    columns = ("ActivityID", "CaseID", "CompleteTimestamp")
    activities = EventsReader(*columns, end=END).read(options.log)
    in_symbols = GAPS.insert(activities)
    is_feature = options.gaps == "feature"
    cases = EventsReader(*columns, end=END, gap_feature=True).read(options.log) if is_feature else in_symbols
    two_thirds = 2 * round(len(cases) / 3)
    first, last = range(two_thirds), range(two_thirds, len(cases))
    problem = Events(Corpus.of_parts(*HeldOut(0.1).split(cases.select(first)), end=END))
    with training_progress() as show:
        network = Network("gru", 32, dropout=0.3)
        fitted = fit(problem, network, Options(seed=options.seed, threads=1), show)
    print(f"GRU 32, {fitted.parameters:,} parameters, {fitted.effort()}")
    exported = export(
        fitted.model, options.out, name="helpdesk", vocabulary=problem.vocabulary, formats=["tflite"],
        quantize=["int8"], training=problem.data.record(),
    )  # fmt: skip

    test = Test.of(cases.select(last), problem.vocabulary, problem.corpus.boundary)
    table = [test.row("Keras", answers_of_keras(fitted.model, test.tape))]
    for path in exported.files:
        if path.suffix == ".tflite":
            table.append(test.row(path.name, test.streamed(load(path))))
    for name, recording in (("activities and gaps", in_symbols), ("activities alone", activities)):
        vocabulary = Corpus.of_parts(recording.select(first), recording.select(last), end=END).vocabulary
        learned, same = (
            encode_sequences(recording.select(first), vocabulary, END),
            Test.of(recording.select(last), vocabulary),
        )
        for order in range(1, 6):
            n_gram = NGram(learned, len(vocabulary), order)
            table.append(same.row(f"{order}-gram, {name}", n_gram.distributions(same.tape)))
    header = ["", "C", "C, the case goes on", "A", "bits"]
    note = (
        f"tested on {len(last):,} cases\n"
        "C: accuracy after two activities and more, where the case goes on: the published figure; beside it the same\n"
        "with the end excluded from the answers; A: after one activity and more, the end included; bits: those of A\n"
        "published: Tax et al. 2017, C 0.7123"
    )
    print_table(header, table, note)


def answers_of_keras(model: object, tape: EncodedSequences) -> np.ndarray:
    """Return what the Keras model answers at each place of `tape`, whole cases at once."""
    lengths = np.diff(tape.starts)
    inside = np.arange(lengths.max()) < lengths[:, np.newaxis]
    numbers = {} if tape.features is None else tape.features.as_inputs()
    given = []
    for array in (tape.inputs, *numbers.values()):
        padded = np.zeros((*inside.shape, *array.shape[1:]), array.dtype)
        padded[inside] = array
        given.append(padded)
    return model.predict(given if numbers else given[0], batch_size=256, verbose=0)[inside]


if __name__ == "__main__":
    main()
