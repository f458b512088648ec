"""Detect anomalies: calibrate a threshold on normal data, and step a stream that reports surprising symbols."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import ceil, log, nan
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import MaybeNone
from ..common.atomic_write import atomic_write
from ..common.errors import OptionError, OtherModelError, ThresholdError, check_version
from ..format.model_file import ModelFile
from ..format.tensor_specs import Features
from ..streams.model import Model
from ..streams.prediction import Prediction
from ..streams.stream import Stream
from .begin import begin_sequence
from .distribution import Float64, log_probability_and_rank, require_next_symbols

FORMAT = 1
_MOST = 2**63 - 1  # symbols and sequences that can be counted
_REMEDY = "Make it anew with: stepcell calibrate MODEL NORMAL_DATA --out FILE"
# Bits by which a surprise must be above a threshold. The threshold may have been computed from many symbols at once,
# which rounds otherwise, and where a machine repeats itself many surprises are the same number.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Threshold:
    """Surprise that normal data exceed at a given rate. Made by `calibrate`.

    Attributes:
        fingerprint: Fingerprint of the model file it was calibrated with.
        symbol_bits: A symbol is an alert above this.
        sequence_bits: A sequence is an alarm from its first symbol above this on; None: too few sequences to tell.
        false_alarms: The share of normal symbols, and of normal sequences, that may be above.
        symbols: Number of normal symbols with a prediction.
        sequences: Number of normal sequences.
    """

    fingerprint: str
    symbol_bits: float
    sequence_bits: float | None
    false_alarms: float
    symbols: int
    sequences: int

    def to_json(self) -> dict[str, Any]:
        """Return the threshold as a JSON object."""
        return {"format": FORMAT, **vars(self)}

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all.

        Args:
            path: File to write; it is replaced if it exists.

        Raises:
            OutputError: It cannot be written.
        """
        atomic_write(Path(path), json.dumps(self.to_json(), indent=2).encode() + b"\n")


def read_threshold(path: str | Path, file: ModelFile) -> Threshold:
    """Read a threshold.

    Args:
        path: A file written by `Threshold.save`.
        file: The model that it must have been calibrated with.

    Raises:
        ThresholdError: The file does not exist or has no threshold that this version can read.
        OtherModelError: It was made for another model file.
    """
    path = Path(path)
    found = read_threshold_file(path, _REMEDY)
    number, count, some, bits = (int, float), (int,), (1, _MOST), (0, _MOST)
    kinds: dict[str, tuple[tuple[type, ...], tuple[int, int]]] = {
        "fingerprint": ((str,), bits), "symbol_bits": (number, bits), "sequence_bits": ((*number, type(None)), bits),
        "false_alarms": (number, (0, 1)), "symbols": (count, some), "sequences": (count, bits),
    }  # fmt: skip
    wrong = [name for name, (types, limits) in kinds.items() if not _is_one_of(found.get(name, ...), types, limits)]
    if found.get("format") != FORMAT or wrong:
        raise ThresholdError(f"{path} is no threshold: wrong are {', '.join(wrong) or 'format'}. {_REMEDY}")
    threshold = Threshold(**{name: found[name] for name in kinds})
    require_same_model(path, threshold.fingerprint, file, f"is surprised a little differently. {_REMEDY}")
    return threshold


def read_threshold_file(path: Path, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file of a threshold of any kind, unchecked; empty for any other JSON.

    Raises:
        ThresholdError: The file does not exist, is not JSON, or is of a later version; the message ends with `remedy`.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ThresholdError(f"There is no threshold {path}. {remedy}") from None
    except OSError as error:
        raise ThresholdError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ThresholdError(f"{path} is not JSON ({error}). {remedy}") from error
    found = found if isinstance(found, dict) else {}
    check_version(found.get("format"), FORMAT, str(path), ThresholdError)
    return found


def require_same_model(path: Path, fingerprint: str, file: ModelFile, effect: str) -> None:
    """Raise OtherModelError if a threshold belongs to another model file; `effect` ends the message."""
    if fingerprint != file.manifest.fingerprint:
        raise OtherModelError(
            f"{path} was calibrated with a model of fingerprint {fingerprint[:12]}..., {file.name} has "
            f"{file.manifest.fingerprint[:12]}... Another format or precision of one network {effect}"
        )


def _is_one_of(value: Any, types: tuple[type, ...], limits: tuple[int, int]) -> bool:
    """Tell whether a value has one of the types and, as a number, is within the limits, which NaN is not."""
    if not isinstance(value, types) or isinstance(value, bool):
        return False
    return not isinstance(value, (int, float)) or limits[0] <= value <= limits[1]


def calibrate(
    model: Model, sequences: Iterable[Iterable[str]], false_alarms: float = 0.01,
    features: Iterable[Features | None] | None = None, *, begin: bool = True,
) -> Threshold:  # fmt: skip
    """Measure the surprise of normal data and return the threshold that they exceed at the rate `false_alarms`.

    Each sequence is stepped from the initial state. Of n surprises in order the ceil((n + 1) (1 - false_alarms))-th is
    the threshold. So a further sequence is above it with a probability of at most `false_alarms`, if it is exchangeable
    with these (conformal prediction: Vovk, Gammerman and Shafer 2005); for a single symbol this holds approximately,
    because symbols of one sequence depend on each other.

    Args:
        model: A model that predicts its next symbol.
        sequences: Normal sequences of symbols that the model was not trained on. The largest surprise of each counts
            for the threshold of sequences, which takes about 1 / false_alarms of them.
        false_alarms: The share of normal symbols, and of normal sequences, that may be above.
        features: For each sequence, features that the model reads beside it; see `Stream.score`.
        begin: Each sequence begins with the end symbol, if the model has one; see `begin_sequence`.

    Raises:
        OptionError: `false_alarms` is not between 0 and 1.
        ThresholdError: There are too few symbols.
        UnknownSymbolError, FeatureMismatchError, TargetError, BackendError, NotFiniteError: As `Stream.score` does.
    """
    if not 0 < false_alarms < 1:
        raise OptionError(f"A share of false alarms is between 0 and 1, not {false_alarms}: 0.01 is one in a hundred.")
    stream = model.stream()
    surprises = []  # of each sequence
    all_features = repeat(None) if features is None else features
    for sequence, its_features in zip(sequences, all_features):  # noqa: B905 - `repeat` has no end
        stream.reset()
        bits = stream.score(sequence, its_features, begin=begin).bits
        surprises.append(bits[~np.isnan(bits)])
    symbols = np.concatenate([*surprises, np.zeros(0)])
    largest = np.array([bits.max() for bits in surprises if bits.size])
    symbol_bits = rarely_exceeded(symbols, false_alarms)
    if symbol_bits is None:
        raise ThresholdError(
            f"A share of {false_alarms:g} false alarms cannot be told from {symbols.size} symbols with a prediction: "
            f"it takes {ceil(1 / false_alarms) - 1}. Give more normal data, or allow more false alarms."
        )
    sequence_bits = rarely_exceeded(largest, false_alarms)
    return Threshold(model.manifest.fingerprint, symbol_bits, sequence_bits, false_alarms, symbols.size, largest.size)


def rarely_exceeded(surprises: Float64, share: float) -> float | None:
    """Return the bound that a further surprise exceeds with probability `share` at most; None: too few surprises."""
    position = ceil(round((surprises.size + 1) * (1 - share), 9))  # rounded: 100 * (1 - 0.42) is 58.00000000000001
    return float(np.partition(surprises, position - 1)[position - 1]) if position <= surprises.size else None


@dataclass(frozen=True)
class Surprise:
    """How surprising a symbol was.

    Attributes:
        bits: Negative log-probability, base 2, given all before it; nan for a symbol that no answer came before.
        rank: 1 for the likeliest symbol, and so on; 0 if `bits` is nan.
        alert: `bits` is above the threshold of symbols, or the probability below the one that was asked for.
        alarm: `bits` is above the threshold of sequences.
        prediction: The answer of the model to the symbol; None where it has none at this step.
    """

    bits: float
    rank: int
    alert: bool
    alarm: bool
    prediction: Prediction | MaybeNone


class Watch:
    """Steps a stream and reports how surprising each symbol was."""

    def __init__(
        self, stream: Stream, threshold: Threshold | None = None, *, begin: bool = True,
        alert_below: float | None = None,
    ) -> None:  # fmt: skip
        """Watch `stream`, which may be stepped otherwise too.

        Args:
            stream: The stream.
            threshold: Surprise above which a symbol is an alert or an alarm; None: there is none.
            begin: Feed the end symbol first to a fresh stream of a model of whole sequences; see `begin_sequence`.
            alert_below: Probability below which a symbol is an alert, too; None: there is none.

        Raises:
            TargetError: The model answers with labels.
            OptionError: `alert_below` is no probability.
        """
        require_next_symbols(stream.file, "none is surprising", with_features=True)
        if alert_below is not None and not 0 < alert_below <= 1:
            raise OptionError(f"Symbols are alerts below a probability between 0 and 1, not {alert_below}.")
        self.stream = stream
        self.threshold = threshold
        self.alert_below = alert_below
        self._begin = begin

    def step(self, symbol: str, features: Features | None = None) -> Surprise:
        """Measure how surprising a symbol is, given all before it, and feed it.

        Args:
            symbol: One symbol of the vocabulary.
            features: Features that the model reads beside it; see `Stream.step`.

        Returns:
            Its surprise and the next prediction. The first symbol of a fresh stream, unless the sequence was begun, and
            one after a step without an answer have no surprise: bits nan and rank 0.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: The state has not moved.
        """
        stream = self.stream
        id = stream.pool.encoder.id_of(symbol)
        has_begun = self._begin and not stream.symbols_seen and begin_sequence(stream, symbol)
        try:
            return self._measure(stream, id, symbol, features)
        except BaseException:
            if has_begun:
                stream.reset()
            raise

    def _measure(self, stream: Stream, id: int, symbol: str, features: Features | None) -> Surprise:
        before = stream.prediction
        threshold = self.threshold
        bits, rank, alert = nan, 0, False
        if before is not None:
            logarithm, rank = log_probability_and_rank(before.probabilities, id, stream.file)
            bits = -logarithm / log(2)
            alert = self.alert_below is not None and logarithm < log(self.alert_below)
        prediction = stream.step(symbol, features)
        alert |= threshold is not None and bits - threshold.symbol_bits > _ROUNDING
        limit = None if threshold is None else threshold.sequence_bits
        return Surprise(bits, rank, alert, limit is not None and bits - limit > _ROUNDING, prediction)
