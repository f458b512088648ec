"""The answer of a model to one symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arrays import Float32
from ..common.errors import NoProbabilitiesError
from ..format.trained_data import OutputSymbols
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
        unknown: Whether the symbol that was fed is not in the vocabulary, so that the model read its unknown symbol.

    `id`, `symbol`, `probability` and `top` leave out the unknown symbol, and the end symbol of a model of texts;
    `probabilities` holds those of all symbols, as the model answers.
    """

    __slots__ = ("_symbols", "outputs", "values")
    unknown = False

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
    def is_nameless(self) -> bool:
        """Whether it is one probability, of an event for which there are no labels."""
        return len(self.values) == len(self._symbols) == 1

    @property
    def id(self) -> int:
        """The id of the most likely symbol; of equally likely ones the lowest."""
        id = int(self._each().argmax())
        return self._order()[0] if id in _hidden(self._symbols) else id

    @property
    def symbol(self) -> str:
        """The most likely symbol."""
        return self._symbols[self.id]

    @property
    def probability(self) -> float:
        """The probability of the most likely symbol."""
        return float(self._each()[self.id])

    def top(self, count: int, *, offer_unknown: bool = False) -> list[tuple[str, float]]:
        """Return the most likely symbols with their probabilities, the most likely first.

        Args:
            count: How many; all where there are fewer, none below 1.
            offer_unknown: Count the unknown symbol, and the end symbol of a model of texts, among them.

        Raises:
            NoProbabilitiesError: The output is of values and not of symbols.
        """
        probabilities = self._each()
        if count == 1 and not offer_unknown:
            id = self.id
            return [(self._symbols[id], float(probabilities[id]))]
        order = self._order(offer_unknown=offer_unknown)[: max(count, 0)]
        return [(self._symbols[id], float(probabilities[id])) for id in order]

    def _each(self) -> Float32:
        """Return the probability of each symbol, (K,); of two labels for one number both."""
        values = self.probabilities
        if len(self._symbols) == 2 and len(values) == 1:
            return np.array([1 - values[0], values[0]], np.float32)
        return values

    def _order(self, *, offer_unknown: bool = False) -> list[int]:
        """Return the ids from the most likely symbol on, without the hidden ones unless there are no others."""
        order: list[int] = np.argsort(-self._each(), kind="stable").tolist()
        hidden = () if offer_unknown else _hidden(self._symbols)
        return [id for id in order if id not in hidden] or order

    def __reduce__(self) -> tuple[type[Prediction], tuple[Any, ...]]:
        """Return the arguments that make an equal prediction: for `copy` and `pickle`."""
        return type(self), (self.values, self._symbols, dict(self.outputs))

    def __repr__(self) -> str:
        """Return the answer in a line."""
        if not self._symbols:
            return f"Prediction(values={self.values!r})"
        return f"Prediction(symbol={self.symbol!r}, probability={self.probability:.4f})"


class UnknownSymbolPrediction(Prediction):
    """The answer to a symbol that is not in the vocabulary."""

    __slots__ = ()
    unknown = True


def prediction_of(answers: Mapping[str, Float32], manifest: Manifest, *, unknown: bool = False) -> Prediction:
    """Return the answers of all outputs of a model, the main one first, as a prediction.

    Args:
        answers: Name -> the numbers of an output, float32 of shape (K,).
        manifest: That of the model.
        unknown: Whether the symbol is not in the vocabulary.
    """
    main, *further = answers.values()
    outputs = {
        output.name: Prediction(
            numbers,
            () if output.activation == "linear" else (output.labels or Vocabulary.of_ids(output.size)).symbols,
        )
        for output, numbers in zip(manifest.extra_outputs, further, strict=True)
    }
    return (UnknownSymbolPrediction if unknown else Prediction)(main, symbols_of(manifest), outputs)


def symbols_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the symbols that the numbers of the main output stand for; () where they are values."""
    return manifest.output_symbols


def _hidden(symbols: tuple[str, ...]) -> tuple[int, ...]:
    return symbols.hidden if isinstance(symbols, OutputSymbols) else ()


def prediction_to_json(prediction: Prediction, top: int, *, offer_unknown: bool = False) -> dict[str, Any]:
    """Return an answer as a JSON object: the likeliest symbol, above a `top` of 1 the likeliest; all values there are.

    One sigmoid unit without labels is its probability alone. Further outputs follow under their names.
    """
    found = _to_json(prediction, top, offer_unknown)
    for name, other in prediction.outputs.items():
        found[name] = _to_json(other, top, offer_unknown)
    return found


def prediction_to_text(prediction: Prediction, top: int, *, offer_unknown: bool = False) -> str:
    """Return the same on one line, in columns; above a `top` of 1 with probabilities."""
    if (
        top == 1
        and not (offer_unknown or prediction.outputs)
        and len(prediction.values) > 1
        and prediction.has_probabilities
    ):
        return show_symbol(prediction.symbol)
    others = [f"{name}: {_to_text(other, top, offer_unknown)}" for name, other in prediction.outputs.items()]
    return "\t".join([_to_text(prediction, top, offer_unknown), *others])


def main_field(manifest: Manifest) -> str:
    """Return the name of the first field of an answer as JSON, which is null where a step has no answer."""
    return {0: "values", 1: "probability"}.get(len(manifest.output_symbols), "symbol")


def symbols_to_json(best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return the likeliest symbols with their probabilities as JSON: the first, and the list if there are several."""
    answer: dict[str, Any] = {"symbol": best[0][0], "probability": round(best[0][1], 6)}
    if len(best) > 1:
        answer["top"] = [{"symbol": other, "probability": round(p, 6)} for other, p in best]
    return answer


def round_value(value: float) -> float:
    """Return a value with six digits, and with two behind the point where these are more: 101,325.12 Pa."""
    return round(value, 2) if abs(value) >= 1e4 else float(f"{value:.6g}")


def _to_json(prediction: Prediction, top: int, offer_unknown: bool) -> dict[str, Any]:
    if not prediction.has_probabilities:
        return {"values": [round_value(value) for value in prediction.values.tolist()]}
    if prediction.is_nameless:
        return {"probability": round(prediction.probability, 6)}
    return symbols_to_json(prediction.top(top, offer_unknown=offer_unknown))


def _to_text(prediction: Prediction, top: int, offer_unknown: bool) -> str:
    if not prediction.has_probabilities:
        return " ".join(f"{round_value(value):.9g}" for value in prediction.values.tolist())
    if prediction.is_nameless:
        return f"{prediction.probability:.4f}"
    best = prediction.top(top, offer_unknown=offer_unknown)
    if top == 1:
        return show_symbol(best[0][0])
    return "\t".join(f"{show_symbol(other)} {probability:.4f}" for other, probability in best)
