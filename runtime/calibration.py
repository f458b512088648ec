"""Calibration: the threshold that normal data exceed as rarely as is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from .distribution import Float64
from .errors import OptionError, ThresholdError
from .ports import Features
from .threshold import Threshold

if TYPE_CHECKING:
    from .model import Model


def calibrate(
    model: Model, sequences: Iterable[Iterable[str]], false_alarms: float = 0.01,
    features: Iterable[Features | None] | None = None,
) -> Threshold:  # fmt: skip
    """Measure how surprising normal data are, and return the threshold they exceed as rarely as is wanted.

    Each sequence is stepped from the initial state. Of n surprises in order the ceil((n + 1) (1 - false_alarms))-th is
    the threshold. So a further sequence is above with a probability of at most `false_alarms`, if it is as normal as
    these and drawn like them (conformal prediction: Vovk, Gammerman and Shafer 2005); a single symbol only about so,
    because symbols of one sequence depend on each other.

    Args:
        model: A model that predicts its next symbol.
        sequences: Normal sequences of symbols, other ones than it was trained on. What surprises most in each counts
            for the threshold of sequences, for which there must be about 1 / false_alarms of them.
        false_alarms: The share of normal symbols, and of normal sequences, that may be above.
        features: What the model reads beside each of the sequences, as for `Stream.score`.

    Raises:
        OptionError: `false_alarms` is not between 0 and 1.
        ThresholdError: There are too few symbols for it.
        UnknownSymbolError, FeatureMismatchError, TargetError, BackendError, NotFiniteError: As `Stream.score` does.
    """
    if not 0 < false_alarms < 1:
        raise OptionError(f"A share of false alarms is between 0 and 1, not {false_alarms}: 0.01 is one in a hundred.")
    stream = model.stream()
    parts = []
    beside = repeat(None) if features is None else features
    for sequence, given in zip(sequences, beside):  # noqa: B905 - `repeat` has no end
        stream.reset()
        bits = stream.score(sequence, given).bits
        parts.append(bits[~np.isnan(bits)])
    symbols = np.concatenate(parts) if parts else np.zeros(0)
    largest = np.array([part.max() for part in parts if part.size])
    symbol_bits = _rarely_exceeded(symbols, false_alarms)
    if symbol_bits is None:
        raise ThresholdError(
            f"A share of {false_alarms:g} false alarms cannot be told from {symbols.size} symbols with a prediction: "
            f"it takes {ceil(1 / false_alarms) - 1}. Give more normal data, or allow more false alarms."
        )
    sequence_bits = _rarely_exceeded(largest, false_alarms)
    return Threshold(model.manifest.fingerprint, symbol_bits, sequence_bits, false_alarms, symbols.size, largest.size)


def _rarely_exceeded(surprises: Float64, share: float) -> float | None:
    """Return what a further surprise exceeds with a probability of `share` at most; None: it takes more surprises."""
    position = ceil(round((surprises.size + 1) * (1 - share), 9))  # rounded: 100 * (1 - 0.42) is 58.00000000000001
    return float(np.partition(surprises, position - 1)[position - 1]) if position <= surprises.size else None
