"""Write the answer to a line on one line, as JSON or in columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from ..common.printable import printable_json
from ..format.vocabulary import show_symbol
from ..streams.prediction import Prediction, prediction_to_json, prediction_to_text, symbols_to_json
from ..tasks.anomaly import Surprise
from .residual_watch import Residual

# Names of an answer; another field of the line that has one of them is called in_NAME.
_TAKEN = frozenset((
    "stream", "seen", "input", "unknown", "reset", "error", "surprise", "rank", "alert", "alarm", "line",
    "symbol", "probability", "top", "values", "gap", "gap_probability", "residuals", "seq", "seq_gap", "model", "code",
    "expected",
))  # fmt: skip


@dataclass(slots=True)
class Answer:
    """The content of an answer.

    Attributes:
        given: The symbol, or the line.
        prediction: The answer of the model; None: nothing was stepped.
        unknown: Whether the symbol is not in the vocabulary.
        stream: Key of its stream and number of symbols it has seen; None: there are no keys.
        surprise: The surprise of the symbol; None: there is no threshold.
        events: The likeliest next events of a model with gap symbols, and the likeliest gap before the first.
        fields: Other fields of the line.
        reset: Whether the line only resets its stream.
        residual: The residual of the row; None: none is watched.
        line: The line, for an alert or alarm.
        silent: The model has no answer at this step: the field that is null then; see `main_field`.
    """

    given: str
    prediction: Prediction | None = None
    unknown: bool = False
    stream: tuple[str, int] | None = None
    surprise: Surprise | None = None
    events: tuple[list[tuple[str, float]], tuple[str, float] | None] | None = None
    fields: Mapping[str, Any] | None = None
    reset: bool = False
    silent: str | None = None
    residual: Residual | None = None
    line: str | None = None

    def best(self, count: int) -> list[tuple[str, float]]:
        """Return the likeliest symbols with their probabilities, at most `count`; [] where there are none."""
        if self.events is not None:
            return self.events[0][:count]
        found = self.prediction
        return found.top(count) if found is not None and found.has_probabilities and not found.is_nameless else []

    def to_json(self, top: int, *, offer_unknown: bool = False) -> str:
        """Return it as a JSON object; `top` is the number of likeliest symbols to name."""
        answer: dict[str, Any] = {} if self.stream is None else {"stream": self.stream[0], "seen": self.stream[1]}
        if self.reset:
            return printable_json({**answer, "reset": True})
        answer["input"] = self.given
        if self.fields:
            outputs = () if self.prediction is None else self.prediction.outputs
            for name, value in self.fields.items():
                answer[f"in_{name}" if name in _TAKEN or name in outputs else name] = value
        if self.unknown:
            answer["unknown"] = True
        if self.events is not None:
            best, gap = self.events
            answer |= symbols_to_json(best[:top])
            if gap is not None:
                answer |= {"gap": gap[0], "gap_probability": round(gap[1], 6)}
        elif self.prediction is not None:
            answer |= prediction_to_json(self.prediction, top, offer_unknown=offer_unknown)
        elif self.silent is not None:
            answer[self.silent] = None
        if self.surprise is not None:
            one = self.surprise
            bits, rank = (None, None) if isnan(one.bits) else (round(one.bits, 4), one.rank)
            answer |= {"surprise": bits, "rank": rank}
        if self.residual is not None:
            found = self.residual.residuals
            rounded = None if found is None else [float(f"{each:.6g}") for each in found]
            answer["residuals"] = rounded
        marked = self.surprise or self.residual
        if marked is not None:
            answer |= {"alert": marked.alert, "alarm": marked.alarm}
            if self.line is not None and (marked.alert or marked.alarm):
                answer["line"] = self.line
        return printable_json(answer)

    def to_text(self, top: int, *, offer_unknown: bool = False) -> str:
        """Return it in columns separated by tabs: key, input and surprise where there are such, then the prediction."""
        columns = []
        if self.stream is not None:
            key = self.stream[0]
            columns.append(key if key.isprintable() else printable_json(key))
        if self.surprise is not None:
            one = self.surprise
            columns += [show_symbol(self.given), "-" if isnan(one.bits) else f"{one.bits:.2f}{_mark(one)}"]
        if self.residual is not None:
            found = self.residual.residuals
            columns.append("-" if found is None else " ".join(f"{each:.6g}" for each in found) + _mark(self.residual))
        if self.events is not None:
            best, gap = self.events
            names = [show_symbol(symbol) for symbol, _ in best]
            columns += names if top == 1 else [f"{n} {p:.4f}" for n, (_, p) in zip(names, best, strict=True)]
            columns += [] if gap is None else [show_symbol(gap[0])]
        elif self.prediction is None:
            columns.append("")
        else:
            columns.append(prediction_to_text(self.prediction, top, offer_unknown=offer_unknown))
        return "\t".join(columns)


def _mark(one: Surprise | Residual) -> str:
    return " alarm" if one.alarm else " alert" if one.alert else ""
