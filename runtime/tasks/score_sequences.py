"""Score many sequences: those of about one length are stepped side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids, Indices
from ..common.errors import NotFiniteError
from ..format.tensor_specs import Inputs
from ..streams.lockstep import Streams
from ..streams.model import Model
from .distribution import Float64, log_probabilities_and_ranks
from .lanes import LANES
from .score import score_ids

_FEWEST = 8  # sequences that are worth a call for LANES of them
_PADDING = 2  # times the steps of the sequences, above which they are too different to go side by side
_PROBABILITIES_AT_A_TIME = 1 << 17


class SequenceScorer:
    """Scores sequences of a model from its initial state, each as `score_ids` does, to within rounding."""

    def __init__(self, model: Model) -> None:
        """Open nothing yet."""
        self._model, self._stream = model, model.stream()
        self._streams: Streams | None = None

    def score(self, sequences: Sequence[Inputs]) -> tuple[Float64, Ids]:
        """Return log-probabilities and ranks of all symbols, the sequences one after the other; see `Score`.

        Args:
            sequences: S sequences, N symbols together, as `ModelReader.read` returns them.

        Returns:
            float64 and int32 of shape (N,); nan and 0 for symbols without a prediction.

        Raises:
            FeatureMismatchError, BackendError, NotFiniteError: As `score_ids` does.
        """
        lengths = np.array([len(each.ids) for each in sequences], np.int64)
        starts: Indices = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        logarithms, ranks = np.full(starts[-1], np.nan), np.zeros(starts[-1], np.int32)
        order = np.argsort(-lengths, kind="stable")
        for first in range(0, len(order), LANES):
            group = order[first : first + LANES]
            found = self._together([sequences[at] for at in group.tolist()], lengths[group])
            for at, one in zip(group.tolist(), found, strict=True):
                logarithms[starts[at] : starts[at + 1]], ranks[starts[at] : starts[at + 1]] = one
        return logarithms, ranks

    def _together(self, group: list[Inputs], lengths: Indices) -> list[tuple[Float64, Ids]]:
        """Score sequences of falling lengths."""
        steps = int(lengths[0])
        if len(group) < _FEWEST or steps * len(group) > _PADDING * int(lengths.sum()) or self._is_special:
            return [self._alone(each) for each in group]
        try:
            return self._side_by_side(group, lengths)
        except NotFiniteError:  # perhaps behind the end of a sequence: stepped alone each says it of itself
            return [self._alone(each) for each in group]

    @property
    def _is_special(self) -> bool:
        """Whether a batch would be stepped one stream after the other all the same."""
        return bool(self._model.manifest.sequence)

    def _alone(self, inputs: Inputs) -> tuple[Float64, Ids]:
        self._stream.reset()
        found = score_ids(self._stream, inputs.ids, inputs.features)
        return found.log_probabilities, found.ranks

    def _side_by_side(self, group: list[Inputs], lengths: Indices) -> list[tuple[Float64, Ids]]:
        """Step the sequences as lanes of one batch; a lane whose sequence has ended is fed on from its start."""
        if self._streams is None:
            self._streams = self._model.streams(LANES)
        streams, steps = self._streams, int(lengths[0])
        streams.reset()
        ids = np.zeros((steps + 1, LANES), np.int32)
        features = {
            name: np.zeros((steps, LANES, *array.shape[1:]), array.dtype) for name, array in group[0].features.items()
        }
        for lane, inputs in enumerate(group):
            ids[: lengths[lane], lane] = inputs.ids
            for name, array in inputs.features.items():
                features[name][: lengths[lane], lane] = array
                features[name][lengths[lane] :, lane] = array[:1]
        for lane in range(len(group), LANES):  # lanes without a sequence repeat the last one
            for array in features.values():
                array[:, lane] = array[:, len(group) - 1]
        logarithms, ranks = np.full((steps, LANES), np.nan), np.zeros((steps, LANES), np.int32)
        scorer = partial(log_probabilities_and_ranks, file=self._model.file)
        ends = {int(length): np.flatnonzero(lengths == length).tolist() for length in np.unique(lengths)}
        size = max(1, _PROBABILITIES_AT_A_TIME // (LANES * self._model.manifest.output_size))
        for first in range(0, steps - 1, size):
            outputs: list[Float32] = []
            for step in range(first, min(first + size, steps - 1)):
                if step in ends:
                    streams.reset(ends[step])
                given = {name: array[step] for name, array in features.items()}
                outputs.append(streams.step_ids(ids[step], given or None).copy())
            part = slice(first + 1, first + 1 + len(outputs))
            logarithms[part], ranks[part] = _scored(np.stack(outputs), ids[part], scorer)
        return [
            (logarithms[: lengths[lane], lane].copy(), ranks[: lengths[lane], lane].copy())
            for lane in range(len(group))
        ]


def _scored(outputs: Float32, following: Ids, scorer: partial[tuple[Float64, Ids]]) -> tuple[AnyArray, AnyArray]:
    """Return log-probabilities and ranks, (T, B) each, of what follows outputs (T, B, K); nan where they are."""
    flat, ids = outputs.reshape(-1, outputs.shape[2]), following.reshape(-1)
    answered = ~np.isnan(flat[:, 0])
    logarithms, ranks = np.full(len(ids), np.nan), np.zeros(len(ids), np.int32)
    if answered.all():
        logarithms, ranks = scorer(flat, ids)
    elif answered.any():
        logarithms[answered], ranks[answered] = scorer(flat[answered], ids[answered])
    return logarithms.reshape(following.shape), ranks.reshape(following.shape)
