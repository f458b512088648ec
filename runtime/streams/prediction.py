"""The answer of a model to one symbol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arrays import Float32
from ..common.errors import NoProbabilitiesError
from ..format.vocabulary import Vocabulary, show_symbol

if TYPE_CHECKING:
    from ..format.manifest import Manifest

NO_OUTPUTS: Mapping[str, Prediction] = MappingProxyType({})


class Prediction:
    """How likely each symbol of the output vocabulary is, given everything the stream has seen.

    Attributes:
        values: The numbers of the output, float32 of shape (K,), in the order of the output vocabulary; probabilities,
            for a linear output plain values. The array is the caller's: no later step changes it.
        outputs: Name -> what a further output of the model answers; empty for most models.
    """

    __slots__ = ("_symbols", "outputs", "values")

    def __init__(
        self, values: Float32, symbols: tuple[str, ...], outputs: Mapping[str, Prediction] = NO_OUTPUTS
    ) -> None:
        """Wrap `values`, shape (K,), over K symbols; (): they are no probabilities."""
        self.values = values
        self._symbols = symbols
        self.outputs = outputs

    @property
    def has_probabilities(self) -> bool:
        """Whether its numbers are probabilities."""
        return bool(self._symbols)

    @property
    def probabilities(self) -> Float32:
        """The probabilities, float32 of shape (K,).

        They sum to 1 for a softmax output; each stands for itself for a sigmoid output.

        Raises:
            NoProbabilitiesError: The output is linear: its numbers are `values`. `id`, `symbol`, `probability` and
                `top` raise it too.
        """
        if not self._symbols:
            raise NoProbabilitiesError(
                "This output is linear: it answers with values and not with probabilities of symbols. Read .values"
            )
        return self.values

    @property
    def id(self) -> int:
        """The id of the most likely symbol; of equally likely ones the lowest."""
        return int(self.probabilities.argmax())

    @property
    def symbol(self) -> str:
        """The most likely symbol."""
        return self._symbols[self.values.argmax()] if self._symbols else self._symbols[self.id]  # which raises

    @property
    def probability(self) -> float:
        """The probability of the most likely symbol."""
        return float(self.probabilities.max())

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the most likely symbols with their probabilities, the most likely first.

        Args:
            count: How many; all where there are fewer, none below 1.

        Raises:
            NoProbabilitiesError: The output is of values and not of symbols.
        """
        order = np.argsort(-self.probabilities, kind="stable")[: max(count, 0)]
        return [(self._symbols[id], float(self.values[id])) for id in order]

    def __reduce__(self) -> tuple[type[Prediction], tuple[Any, ...]]:
        """Return the arguments that make an equal prediction: for `copy` and `pickle`."""
        return Prediction, (self.values, self._symbols, dict(self.outputs))

    def __repr__(self) -> str:
        """Return the answer in a line."""
        if not self._symbols:
            return f"Prediction(values={self.values!r})"
        return f"Prediction(symbol={self.symbol!r}, probability={self.probability:.4f})"


def prediction_of(answers: Mapping[str, Float32], manifest: Manifest) -> Prediction:
    """Return the answers of all outputs of a model, the main one first, as a prediction.

    Args:
        answers: Name -> the numbers of an output, float32 of shape (K,).
        manifest: That of the model.
    """
    main, *further = answers.values()
    outputs = {
        output.name: Prediction(
            numbers,
            () if output.activation == "linear" else (output.labels or Vocabulary.of_ids(output.size)).symbols,
        )
        for output, numbers in zip(manifest.extra_outputs, further, strict=True)
    }
    return Prediction(main, symbols_of(manifest), outputs)


def symbols_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the symbols that the numbers of the main output stand for; () where they are values."""
    return () if manifest.output == "linear" else manifest.output_vocabulary.symbols


def prediction_to_json(prediction: Prediction, top: int) -> dict[str, Any]:
    """Return an answer as a JSON object: the likeliest symbol, above a `top` of 1 the likeliest; all values there are.

    Further outputs follow under their names.
    """
    others = {name: _to_json(other, top) for name, other in prediction.outputs.items()}
    return {**_to_json(prediction, top), **others}


def prediction_to_text(prediction: Prediction, top: int) -> str:
    """Return the same on one line, in columns; above a `top` of 1 with probabilities."""
    others = [f"{name}: {_to_text(other, top)}" for name, other in prediction.outputs.items()]
    return "\t".join([_to_text(prediction, top), *others])


def _to_json(prediction: Prediction, top: int) -> dict[str, Any]:
    if not prediction.has_probabilities:
        return {"values": [float(f"{value:.6g}") for value in prediction.values]}
    best = prediction.top(top)
    answer: dict[str, Any] = {"symbol": best[0][0], "probability": round(best[0][1], 6)}
    if top > 1:
        answer["top"] = [{"symbol": other, "probability": round(p, 6)} for other, p in best]
    return answer


def _to_text(prediction: Prediction, top: int) -> str:
    if not prediction.has_probabilities:
        return " ".join(f"{value:.6g}" for value in prediction.values)
    best = prediction.top(top)
    if top == 1:
        return show_symbol(best[0][0])
    return "\t".join(f"{show_symbol(other)} {probability:.4f}" for other, probability in best)
