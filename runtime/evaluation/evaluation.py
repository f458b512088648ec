"""A model on data, beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.errors import OptionError
from ..streams.model import Model
from .dataset import EvaluationData
from .metrics import SymbolScores
from .modes import EvaluationModes
from .ngram import Baseline, baselines

CARRIED, RESET, WINDOWED, MEMORYLESS = "carried", "reset", "windowed", "memoryless"
_WINDOW = 50  # where nobody says how much was learned at once
_WORTH = 0.01  # bits per symbol by which a network has to be better than an n-gram to be worth its trouble


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a model is, and what is as good without it.

    Attributes:
        model: Name of the file and the interpreter.
        modes: The model in each way of feeding it that the data allow, by name: "reset" before each sequence where
            there are several, "carried" without any reset, "windowed", "memoryless".
        baselines: The baselines.
        symbols: Of the output, by id.
        top: For which k the share among the k likeliest is shown.
        window: Symbols in view in "windowed".
        sequences: How many were judged.
        unknown: How many of their symbols the vocabulary does not hold.
        notes: Where the data come from.
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

    @property
    def main(self) -> SymbolScores:
        """The pass that all details are of: as the model is fed where sequences are told apart."""
        return self.modes[RESET if RESET in self.modes else CARRIED]

    @property
    def best_baseline(self) -> Baseline:
        """The baseline that has the fewest bits."""
        return min((one for one in self.baselines if one.has_probabilities), key=lambda one: one.scores.bits)

    def verdict(self) -> str:
        """Return in a sentence whether the network is worth it."""
        best, gain = self.best_baseline, self.best_baseline.scores.bits - self.main.bits
        points = 100 * (self.main.accuracy - best.scores.accuracy)
        name = f"the {best.name.removeprefix('the ')}"
        worth = (
            "the network is worth it" if gain > _WORTH
            else "the network is no better than counting" if gain > -_WORTH
            else "counting is better than the network"
        )  # fmt: skip
        return f"{worth}: {gain:+.4f} bits per symbol and {points:+.2f} points of accuracy against {name}"

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        main = self.main
        return {
            "model": self.model,
            "sequences": self.sequences,
            "unknown_symbols": self.unknown,
            "window": self.window,
            "notes": list(self.notes),
            "modes": {name: judged.to_json(self.top) for name, judged in self.modes.items()},
            "baselines": {one.name: _baseline_to_json(one, self.top) for one in self.baselines},
            "verdict": self.verdict(),
            "by_position": main.by_position(),
            "calibration_error": main.calibration_error,
            "reliability": main.reliability(),
            "mistakes": main.mistakes(self.symbols),
        }


def evaluate(
    model: Model, data: EvaluationData, *, top: Sequence[int] = (3, 5), window: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:  # fmt: skip
    """Judge a model on the device runtime, and the baselines beside it.

    Args:
        model: Predicts its next symbol.
        data: What to judge it by.
        top: For which k to tell the share among the k likeliest.
        window: Symbols in view in the windowed pass; None: as many as were learned at once.
        progress: Is told what is being done.

    Raises:
        TargetError: The model answers with labels or values.
        OptionError: Nothing can be judged, or an option makes no sense.
        BackendError, NotFiniteError: As `Stream.run` and `Stream.score` do.
    """
    learned_at_once = model.manifest.training.get("longest_length")
    window = window or (learned_at_once if isinstance(learned_at_once, int) else _WINDOW)
    problems = [f"top {count}" for count in top if count < 1] + [f"a window of {window}"] * (window < 1)
    if problems:
        raise OptionError(f"These have to be above 0: {', '.join(problems)}.")
    tape = data.test
    if not tape.weights.any():
        raise OptionError("Nothing can be judged: no symbol comes after another.")
    several = len(tape.starts) > 2
    modes: dict[str, SymbolScores] = {}
    for name, judged in _each_pass(EvaluationModes(model, tape), window, several=several, progress=progress):
        if judged is not None:
            modes[name] = judged
    progress("counting n-grams")
    counted = tuple(baselines(data.train, tape, len(model.vocabulary)))
    name = f"{model.file.name} on {model.backend}"
    return Evaluation(
        name, modes, counted, model.output_vocabulary.symbols, tuple(sorted(set(top) - {1})), window,
        len(tape.starts) - 1, data.unknown, data.notes,
    )  # fmt: skip


def _each_pass(
    modes: EvaluationModes, window: int, *, several: bool, progress: Callable[[str], None]
) -> Iterator[tuple[str, SymbolScores | None]]:
    if several:
        progress("the state reset before each sequence")
        yield RESET, modes.reset()
    progress("the state carried")
    yield CARRIED, modes.carried()
    progress(f"{window} symbols in view")
    yield WINDOWED, modes.windowed(window)
    yield MEMORYLESS, modes.memoryless()


def _baseline_to_json(baseline: Baseline, top: Sequence[int]) -> dict[str, Any]:
    if baseline.has_probabilities:
        return baseline.scores.to_json(top)
    return {"symbols": len(baseline.scores), "accuracy": baseline.scores.accuracy}
