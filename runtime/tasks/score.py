"""Score symbols: the log-probability and the rank of each, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, log, nan

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..common.printable import printable_json
from ..format.tensor_specs import EVERY_STEP, Features, checked_features
from ..format.vocabulary import show_symbol
from ..streams.stream import Stream
from .begin import begin_sequence
from .distribution import Float64, log_probabilities_and_ranks, require_next_symbols
from .lanes import FEWEST, LANES, Lanes, forgets, score_in_lanes

PROBABILITIES_AT_A_TIME = 1 << 16  # of one call of the interpreter: they stay in the cache
HEADER = ("symbols", "nats per symbol", "bits per symbol", "perplexity", "top 1", "top 5")


@dataclass(frozen=True)
class ScoreSummary:
    """Totals of a score. Summaries of two parts can be added.

    Attributes:
        symbols: Number of symbols.
        scored: Number of symbols with a prediction.
        nats: Sum of their negative log-probabilities, natural logarithm.
        top_1: How many of them were the likeliest.
        top_5: How many were among the 5 likeliest.
    """

    symbols: int = 0
    scored: int = 0
    nats: float = 0.0
    top_1: int = 0
    top_5: int = 0

    def __add__(self, other: ScoreSummary) -> ScoreSummary:
        """Return the summary of both parts together."""
        return ScoreSummary(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    @property
    def nats_per_symbol(self) -> float:
        """Mean negative log-probability; nan if nothing was scored."""
        return self.nats / self.scored if self.scored else nan

    @property
    def bits_per_symbol(self) -> float:
        """The same in bits."""
        return self.nats_per_symbol / log(2)

    @property
    def perplexity(self) -> float:
        """Number of equally likely symbols that would be as hard to predict."""
        return exp(self.nats_per_symbol)

    def to_json(self) -> dict[str, float | int | None]:
        """Return the summary as a JSON object; means are null if nothing was scored."""
        means = {
            "nats_per_symbol": self.nats_per_symbol,
            "bits_per_symbol": self.bits_per_symbol,
            "perplexity": self.perplexity,
            "top_1": self.top_1 / max(self.scored, 1),
            "top_5": self.top_5 / max(self.scored, 1),
        }
        shown = means if self.scored else dict.fromkeys(means)
        return {"symbols": self.symbols, "scored": self.scored, **shown}

    def to_row(self) -> list[str]:
        """Return the summary as cells under `HEADER`."""
        if not self.scored:
            return [f"{self.symbols:,}", *["-"] * 5]
        return [
            f"{self.scored:,}", f"{self.nats_per_symbol:.4f}", f"{self.bits_per_symbol:.4f}",
            f"{self.perplexity:.3f}", *(f"{100 * n / self.scored:.2f} %" for n in (self.top_1, self.top_5)),
        ]  # fmt: skip


@dataclass(frozen=True)
class Score:
    """How likely a model found each of T symbols, given all before it.

    Attributes:
        log_probabilities: float64 of shape (T,), natural logarithms. A probability below 2**-126, which float32 hardly
            tells from 0, counts as that: -87.3. nan for a symbol without a prediction: the first, and those after a
            step without an answer.
        ranks: int32 of shape (T,): 1 for the likeliest symbol, as `Prediction.top` orders them; 0 where
            `log_probabilities` is nan.
        lanes: The certificate of a score that was computed in lanes: its log-probabilities are those of stepping to
            within 1e-4, and nearly always 1e-5. None: symbol by symbol.
    """

    log_probabilities: Float64
    ranks: Ids
    lanes: Lanes | None = None

    @property
    def bits(self) -> Float64:
        """The surprise of each symbol in bits, float64 of shape (T,)."""
        return -self.log_probabilities / log(2)

    @property
    def summary(self) -> ScoreSummary:
        """The totals."""
        scored = self.ranks > 0
        ranks = self.ranks[scored]
        nats = float(-self.log_probabilities[scored].sum()) + 0.0  # never -0.0
        return ScoreSummary(self.ranks.size, ranks.size, nats, int((ranks == 1).sum()), int((ranks <= 5).sum()))

    @property
    def bits_per_symbol(self) -> float:
        """Mean surprise."""
        return self.summary.bits_per_symbol

    @property
    def perplexity(self) -> float:
        """See `ScoreSummary.perplexity`."""
        return self.summary.perplexity

    def __repr__(self) -> str:
        """Return length and mean surprise in a line."""
        return f"Score({self.ranks.size} symbols, {self.bits_per_symbol:.4f} bits per symbol)"

    def lines(self, symbols: Sequence[str], sequence: int | None, *, as_json: bool) -> Iterator[str]:
        """Yield a line for each symbol: its surprise in bits and its rank.

        Args:
            symbols: The scored symbols.
            sequence: Number of the sequence, counted from 1, to begin each line with; None: there is only one.
            as_json: Lines are JSON objects; else columns with tabs between them.
        """
        for symbol, bits, rank in zip(symbols, self.bits.tolist(), self.ranks.tolist(), strict=True):
            if as_json:
                numbered = {} if sequence is None else {"sequence": sequence}
                found = {"surprise": round(bits, 4), "rank": rank} if rank else {"surprise": None, "rank": None}
                yield printable_json({**numbered, "symbol": symbol, **found})
            else:
                columns = [] if sequence is None else [str(sequence)]
                columns += [show_symbol(symbol), *((f"{bits:.4f}", str(rank)) if rank else ("-", "-"))]
                yield "\t".join(columns)


def score(
    stream: Stream, symbols: Iterable[str], features: Features | None = None, *, in_lanes: bool = True,
    begin: bool = True,
) -> Score:  # fmt: skip
    """Feed symbols and return how likely each was, given all before it.

    The first symbol has no probability if the stream has no prediction yet. After a step, or an earlier `score`, it
    has: scoring in parts gives the same as scoring at once.

    Args:
        stream: The stream to move.
        symbols: T symbols in order, millions if you like: 24 bytes of each are kept. They are all checked before the
            first is fed.
        features: Features that the model reads beside them; see `Stream.absorb`.
        in_lanes: Step parts of a long stream (65,536 symbols and more) side by side if the model forgets fast enough,
            two to five times as fast; `Score.lanes` has the certificate. See `lanes.py`.
        begin: Feed the end symbol first to a fresh stream of a model of whole sequences, so that the first symbol has a
            probability too; see `begin_sequence`.

    Raises:
        UnknownSymbolError: One of them is not in the vocabulary. The stream has not moved.
        FeatureMismatchError: `features` are not those that the model reads. The stream has not moved.
        TargetError: The model does not answer symbols with the next one. The stream has not moved.
        BackendError: The interpreter failed. The stream has not moved.
        NotFiniteError: An output is no distribution. The stream has not moved.
    """
    require_next_symbols(stream.file, "its symbols have no probability", with_features=True)
    ids = stream.ids_of(symbols)
    checked_features(features, stream.file.manifest.features, stream.file.name, ids.shape)
    begun = begin and ids.size and begin_sequence(stream, stream.file.manifest.vocabulary.symbols[ids[0]])
    try:
        return score_ids(stream, ids, features, in_lanes=in_lanes)
    except BaseException:
        if begun:
            stream.reset()
        raise


def score_ids(stream: Stream, ids: Ids, features: Features | None = None, *, in_lanes: bool = True) -> Score:
    """Do the same with the ids of symbols, int32 of shape (T,)."""
    manifest = stream.file.manifest
    checked = checked_features(features, manifest.features, stream.file.name, ids.shape)
    before = stream.snapshot()
    log_probabilities, ranks = np.full(ids.size, np.nan), np.zeros(ids.size, np.int32)
    scorer = partial(log_probabilities_and_ranks, file=stream.file)
    main = None if before.answers is None else before.answers[manifest.answer]
    last = np.empty((0, 0), np.float32) if main is None else main[np.newaxis]  # the output before the next symbol
    try:
        if in_lanes and can_use_lanes(stream, ids):
            if len(last):
                log_probabilities[:1], ranks[:1] = scorer(last, ids[:1])
            with stream.pool.lend_batch(LANES) as batch:
                lanes = score_in_lanes(stream, batch, ids, scorer, log_probabilities, ranks)
            return Score(log_probabilities, ranks, lanes)
        block = max(1, PROBABILITIES_AT_A_TIME // manifest.output_size)
        for start in range(0, ids.size, block):
            outputs = run_ids(stream, ids, checked, slice(start, start + block))
            known = np.concatenate([last, outputs[:-1]]) if len(last) else outputs[:-1]
            part: slice | AnyArray = slice(start + len(outputs) - len(known), start + len(outputs))
            if manifest.answers != EVERY_STEP:
                part, known = _with_answer(known, start + len(outputs))
            log_probabilities[part], ranks[part] = scorer(known, ids[part])
            last = outputs[-1:]
    except BaseException:
        stream.go_to(before)
        raise
    return Score(log_probabilities, ranks)


def _with_answer(outputs: Float32, stop: int) -> tuple[AnyArray, Float32]:
    """Return the indices of the symbols, up to `stop`, that come after an answer, and these answers.

    Args:
        outputs: The outputs before each, (T, K), NaN in the rows of steps without an answer.
        stop: The index after the last of the T symbols.
    """
    answered = ~np.isnan(outputs[:, 0])
    return np.flatnonzero(answered) + (stop - len(outputs)), outputs[answered]


def run_ids(stream: Stream, ids: Ids, features: Mapping[str, AnyArray], part: slice) -> Float32:
    """Feed a part of `ids`, (T,), with their `features`, (T, ...) each; return the outputs as `Stream.run` does."""
    if not features:
        return stream.run_ids(ids[part])
    symbols = stream.file.manifest.vocabulary.symbols
    return stream.run([symbols[id] for id in ids[part].tolist()], {n: array[part] for n, array in features.items()})


def can_use_lanes(stream: Stream, ids: Ids) -> bool:
    """Tell whether cutting `ids` in lanes is possible and worth a try."""
    manifest = stream.file.manifest
    if ids.size < FEWEST or manifest.features or manifest.extra_outputs or manifest.sequence:
        return False
    if manifest.answers != EVERY_STEP:  # the lanes begin at other steps
        return False
    return forgets(stream, ids)
