"""The part of a manifest that says how the training data were read, as far as the device needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from .vocabulary import Vocabulary

TEXT = "text"  # kind of a reader of texts


class OutputSymbols(tuple[str, ...]):
    """The symbols of an output.

    Attributes:
        hidden: Ids that are not offered as predictions: the unknown symbol, and the end symbol of texts.
    """

    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrainedData:
    """Description of the training data; values that a manifest lacks, or holds in another shape, are None or empty.

    Attributes:
        kind: The kind of their reader: "events", "text", "symbols"; None: not known.
        reading: The values of the reader.
        end: The symbol between two sequences, if the model knows it, and the numbers that it reads with it. A fresh
            stream begins with it.
        named_end: The same, if the model knows the symbol at least.
        boundary: Name of each feature of the model -> its value with the end symbol, of shape (1,).
        targets: Columns of the right answers, of a model of labels or values.
        ahead: How many rows ahead of its row a value is; 0: in its row.
    """

    kind: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    end: str | None = None
    boundary: Mapping[str, Sequence[float]] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    ahead: int = 0
    named_end: str | None = None

    @classmethod
    def of(cls, training: Mapping[str, Any], vocabulary: Vocabulary, features: Iterable[str]) -> TrainedData:
        """Return the description in `training` of a manifest with this vocabulary and features of these names.

        A model that reads features which have no value with the end symbol has no `end` either.
        """
        data = training.get("data")
        data = data if isinstance(data, Mapping) else {}
        reading = data.get("reading")
        reading = reading if isinstance(reading, Mapping) else {}
        kind, end, values = reading.get("kind"), data.get("end"), data.get("boundary")
        values = values if isinstance(values, Mapping) else {}
        targets, ahead = data.get("targets"), data.get("ahead")
        boundary = {name: values.get(name) for name in features}
        complete = all(_is_single_number(value) for value in boundary.values())
        named = end if isinstance(end, str) and end in vocabulary else None
        known = named is not None and complete
        return cls(
            kind if isinstance(kind, str) else None, reading, named if known else None,
            {name: value for name, value in boundary.items() if value is not None} if known else {},
            tuple(targets) if isinstance(targets, list) and all(isinstance(name, str) for name in targets) else (),
            ahead if type(ahead) is int and ahead > 0 else 0,
            named,
        )  # fmt: skip


def _is_single_number(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and type(value[0]) in (int, float) and isfinite(value[0])
