"""Evaluate a model and the baselines on data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from ..common.errors import OptionError
from ..format.tensor_specs import EVERY_STEP
from ..streams.model import Model
from .dataset import EvaluationData
from .metrics import SymbolScores, positions_of
from .modes import EvaluationModes
from .ngram import Baseline, baselines

CARRIED, RESET, WINDOWED, MEMORYLESS = "carried", "reset", "windowed", "memoryless"
AT_END = "at_end"  # of each sequence, of labels
_STATE = {RESET: "reset before each sequence", CARRIED: "carried, never reset,"}
_WINDOW = 50  # if the model file does not tell its longest training sequence
_WORTH = 0.01  # bits per symbol by which a network has to be better than an n-gram
_FAR_OFF = 0.05  # calibration error, beyond that of chance


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a model and of the baselines.

    Attributes:
        model: Name of the file and the interpreter.
        modes: Name of a mode -> scores of the model: "reset" before each sequence if there are several, "carried"
            without any reset, "windowed", "memoryless"; of labels "at_end", the last row of each sequence.
        baselines: The baselines.
        symbols: Of the output, by id.
        top: For which k the accuracy among the k likeliest is shown.
        window: Symbols in view in "windowed".
        sequences: Number of test sequences.
        unknown: How many of their symbols are not in the vocabulary.
        notes: The origin of the data.
        of_labels: The model answers each row with a label; else with the next symbol.
        gaps: Ids of the symbols that are gaps of time.
    """

    model: str
    modes: Mapping[str, SymbolScores]
    baselines: tuple[Baseline, ...]
    symbols: Sequence[str]
    top: tuple[int, ...]
    window: int
    sequences: int
    unknown: int
    notes: tuple[str, ...]
    of_labels: bool = False
    gaps: tuple[int, ...] = ()

    @property
    def main(self) -> SymbolScores:
        """The scores that the details are of: with resets if there are several sequences."""
        return self.modes[RESET if RESET in self.modes else CARRIED]

    def events_alone(self) -> dict[str, SymbolScores]:
        """Return the scores of the symbols that are no gaps, of the model and the best baseline; {} without gaps."""
        best, chosen = self.best_baseline, ~np.isin(self.main.targets, self.gaps)
        if not self.gaps or chosen.all():
            return {}
        others = {} if best is None else {best.name: best.scores.select(chosen)}
        return {"the network": self.main.select(chosen), **others}

    @property
    def best_baseline(self) -> Baseline | None:
        """The baseline with the fewest bits; None: there are no n-grams."""
        able = [one for one in self.baselines if one.has_probabilities]
        return min(able, key=lambda one: one.scores.bits) if able else None

    def most_accurate(self, count: int = 1) -> Baseline:
        """Return the baseline with the highest accuracy among the `count` likeliest."""
        able = [one for one in self.baselines if one.has_probabilities or count == 1]
        return max(able, key=lambda one: one.scores.top(count))

    def verdict(self) -> str:
        """Return as a sentence whether the network is better than the baselines, each measure against its best."""
        best, accurate = self.best_baseline, self.most_accurate()
        points = f"{100 * (self.main.accuracy - accurate.scores.accuracy):+.2f} points of accuracy against"
        if best is None:
            found = f"the network cannot be compared with counting: there are no n-grams; {points} {_the(accurate)}"
            return "; ".join([found, *self.faults()])
        gain = best.scores.bits - self.main.bits
        worth = (
            "the network is worth it" if gain > _WORTH
            else "the network is no better than counting" if gain > -_WORTH
            else "counting is better than the network"
        )  # fmt: skip
        bits = f"{worth}: {gain:+.4f} bits per {'label' if self.of_labels else 'symbol'}"
        if accurate is not best:
            bits += f" against {_the(best)}"
        return "; ".join([f"{bits} and {points} {_the(accurate)}", *self.faults()])

    def faults(self) -> list[str]:
        """Return what the figures say against using the model as it is: memory that does harm, wrong confidence."""
        found = []
        alone = self.modes.get(MEMORYLESS)
        losses = {name: _loss(self.modes[name], alone) for name in (RESET, CARRIED) if alone and name in self.modes}
        harmed = [name for name, loss in losses.items() if loss > _WORTH]
        if harmed:
            remedy = (
                "reset it before each sequence" if harmed == [CARRIED] and RESET in self.modes
                else "its memory is of no use on these data"
            )  # fmt: skip
            loss = f"it needs {losses[harmed[0]]:.4f} bits more than without memory"
            found.append(f"with the state {_STATE[harmed[0]]} {loss}: {remedy}")
        error = self.main.calibration_error
        if error > _FAR_OFF + 2 * self.main.calibration_noise:
            bias = float(self.main.confidence.mean()) - self.main.accuracy
            found.append(
                f"its probabilities are off by {100 * error:.1f} points, it is too {'sure' if bias > 0 else 'unsure'}: "
                "do not take them, or thresholds on them, as they are"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as a JSON object."""
        main, best = self.main, self.best_baseline
        plain = {one.name: {"symbols": len(one.scores), "accuracy": one.scores.accuracy} for one in self.baselines}
        full = {one.name: one.scores.to_json(self.top) for one in self.baselines if one.has_probabilities}
        return {
            "model": self.model,
            "sequences": self.sequences,
            "unknown_symbols": self.unknown,
            "window": self.window,
            "notes": list(self.notes),
            "modes": {name: scores.to_json(self.top) for name, scores in self.modes.items()},
            "baselines": plain | full,
            "best_baselines": {
                "accuracy": self.most_accurate().name,
                **({} if best is None else {f"top_{count}": self.most_accurate(count).name for count in self.top}),
                "bits_per_symbol": None if best is None else best.name,
            },
            "events_alone": {name: scores.to_json(self.top) for name, scores in self.events_alone().items()},
            "verdict": self.verdict(),
            "by_position": main.by_position(),
            "calibration_error": main.calibration_error,
            "reliability": main.reliability(),
            "mistakes": main.mistakes(self.symbols),
            **(
                {"labels": list(self.symbols), "confusion": main.confusion(len(self.symbols))} if self.of_labels else {}
            ),
        }


def _answered(data: EvaluationData, model: Model) -> EvaluationData:
    """Return the data without the targets to which the model has no answer, so that baselines predict the same."""
    answers, test = model.manifest.answers, data.test
    if answers == EVERY_STEP:
        return data
    weights = np.where(answers.which_answer(positions_of(test)), test.weights, np.float32(0))
    wanted, left = np.count_nonzero(test.weights), np.count_nonzero(weights)
    if not left:
        raise OptionError(
            f"Nothing can be evaluated: {model.file.name} answers {answers.describe()}, and no sequence is so long."
        )
    note = f"the model answers {answers.describe()}: {wanted - left:,} of {wanted:,} symbols have no prediction"
    return replace(data, test=replace(test, weights=weights), notes=(*data.notes, note))


def _loss(scores: SymbolScores, others: SymbolScores) -> float:
    """Return the bits that `scores` need more than `others` of the same symbols; 0 if that may be chance.

    `others` may be of a sample of them.
    """
    if len(scores) != len(others):
        return max(0.0, scores.bits - others.bits)
    bits = (others.log_probabilities - scores.log_probabilities) / log(2)
    loss = float(bits.mean())
    return loss if loss > 2 * float(bits.std()) / len(bits) ** 0.5 else 0.0


def _the(baseline: Baseline) -> str:
    return f"the {baseline.name.removeprefix('the ')}"


def evaluate(
    model: Model, data: EvaluationData, *, top: Sequence[int] = (3, 5), window: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:  # fmt: skip
    """Evaluate a model on the device runtime, and the baselines on the same data.

    Args:
        model: A model that predicts its next symbol.
        data: The data.
        top: For which k to report the accuracy among the k likeliest.
        window: Symbols in view in the windowed mode; None: the longest length of the training.
        progress: Called with a description of each stage.

    Raises:
        TargetError: The model answers with labels or values.
        OptionError: There is nothing to predict, or an option makes no sense.
        BackendError, NotFiniteError: As `Stream.run` and `Stream.score` do.
    """
    trained_length = model.manifest.training.get("longest_length")
    window = window or (trained_length if isinstance(trained_length, int) else _WINDOW)
    problems = [f"top {count}" for count in top if count < 1] + [f"a window of {window}"] * (window < 1)
    if problems:
        raise OptionError(f"These have to be above 0: {', '.join(problems)}.")
    if not data.test.weights.any():
        raise OptionError("Nothing can be evaluated: no symbol comes after another.")
    data = _answered(data, model)
    sequences, modes = len(data.test.starts) - 1, EvaluationModes(model, data.test)
    runs: dict[str, tuple[str, Callable[[], SymbolScores | None]]] = {
        RESET: ("the state reset before each sequence", modes.reset),
        CARRIED: ("the state carried", modes.carried),
        WINDOWED: (f"{window} symbols in view", lambda: modes.windowed(window)),
        MEMORYLESS: ("the state reset before each symbol", modes.memoryless),
    }
    if sequences == 1:
        del runs[RESET]  # the same as carried
    scores: dict[str, SymbolScores] = {}
    for name, (stage, run) in runs.items():
        progress(stage)
        found = run()
        if found is not None:
            scores[name] = found
    if data.train is not None:
        progress("counting n-grams")
    return Evaluation(
        f"{model.file.name} on {model.backend}", scores,
        tuple(baselines(data.train, data.test, len(model.vocabulary))), model.output_vocabulary.symbols,
        tuple(sorted(set(top) - {1})), window, sequences, data.unknown, data.notes, gaps=data.gaps,
    )  # fmt: skip
