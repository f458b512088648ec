"""The text problem: the next character of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.arrays import Ids
from ..runtime.errors import CorpusError
from ..runtime.vocabulary import Vocabulary
from .problem import Block, Recipe, Streams
from .score import Score

_TIME_STEPS, _LANES = 50, 64
_RESETS = 0.02  # share of the chunks that begin from nothing
_SHORTEST = 64  # characters
_EPOCHS = 15


@dataclass(frozen=True)
class Text:
    """The characters of a text, each to be predicted from all before it.

    The text is cut into as many lanes as are learned side by side; each is read from its beginning to its end with the
    state carried along (truncated BPTT). The last part is held out and never learned from.

    Attributes:
        content: The text.
        held_out: Share of it that is held out, at its end.
        source: Where it came from, for the record.

    Raises:
        CorpusError: It is too short, or repeats one character.
    """

    content: str = field(repr=False)
    held_out: float = 0.1
    source: str = ""

    def __post_init__(self) -> None:
        """Check that there is something to learn."""
        if len(self.content) < _SHORTEST:
            raise CorpusError(
                f"{self.source or 'The text'} has {len(self.content)} characters; at least {_SHORTEST} are needed to "
                "learn from some and judge by others."
            )
        if len(set(self.content)) == 1:
            raise CorpusError(
                f"{self.source or 'The text'} repeats one character, {self.content[0]!r}; there is nothing to predict."
            )
        if not 0 < self.held_out < 1:
            raise CorpusError(f"The share to hold out is {self.held_out}; give one between 0 and 1, 0.1 for example.")
        if self._learned < _SHORTEST // 2:
            raise CorpusError(
                f"Only {self._learned} characters are left to learn from; hold out less than {self.held_out}."
            )

    @classmethod
    def from_file(cls, path: Path, held_out: float = 0.1) -> Text:
        """Read the UTF-8 file at `path`.

        Raises:
            CorpusError: It is missing, unreadable, not UTF-8, empty or too short.
        """
        try:
            content = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise CorpusError(f"Cannot read the text {path}: {error.strerror or error}.") from error
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}. "
                "Convert it, for example: iconv -f latin1 -t utf-8"
            ) from error
        if not content:
            raise CorpusError(f"{path} is empty; there is nothing to learn from.")
        return cls(content.replace("\r\n", "\n"), held_out, str(path))

    @property
    def name(self) -> str:
        """See `Problem.name`."""
        return "text"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`: all characters of the text, those of the held-out part too."""
        return Vocabulary.of_text(self.content)

    @property
    def labels(self) -> None:
        """See `Problem.labels`."""
        return

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        updates = max(500, _EPOCHS * self._chunks)
        return Recipe(
            time_steps=self._time_steps,
            learning_rate={"lstm": 0.02, "gru": 0.01, "rnn": 0.02},
            schedule="cosine",
            updates=updates,
            per_block=10,
            evaluate_every=max(50, updates // 15),
            xla=True,
            patience=8,
        )

    def block(self, first: int, updates: int, seed: int) -> Block:
        """See `Problem.block`."""
        starts, fresh = zip(*(self._start(update, seed) for update in range(first, first + updates)), strict=True)
        lanes = np.arange(self._lanes) * self._lane_length
        # (U, 1, 1) + (T, 1) + (B,): the place in the text of every input
        places = np.array(starts)[:, None, None] + np.arange(self._time_steps)[:, None] + lanes
        resets = np.stack(
            [np.random.default_rng([seed, 7, u]).random(self._lanes) for u in range(first, first + updates)]
        )
        weights = np.ones(places.shape, np.float32)
        return Block(self._ids[places], self._ids[places + 1], weights, (resets < _RESETS) | np.array(fresh)[:, None])

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: the held-out part as one stream."""
        held_out = self._ids[self._learned :, None]
        inputs, targets = held_out[:-1], held_out[1:]
        return {"carried": Streams(inputs, targets, np.ones(inputs.shape, np.float32), np.zeros(inputs.shape, bool))}

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: a text never is, unless it can be known by heart."""
        return scores["carried"].accuracy == 1.0

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {
            "source": self.source,
            "sha256": sha256(self.content.encode()).hexdigest(),
            "characters": len(self.content),
            "held_out": self.held_out,
        }

    @cached_property
    def _ids(self) -> Ids:
        return self.vocabulary.encode_all(self.content)

    @property
    def _learned(self) -> int:
        """Characters that are learned from; at least two are held out, an input and its answer."""
        return min(round(len(self.content) * (1 - self.held_out)), len(self.content) - 2)

    @property
    def _time_steps(self) -> int:
        return max(2, min(_TIME_STEPS, self._learned // 8))

    @property
    def _lanes(self) -> int:
        return max(1, min(_LANES, self._learned // (4 * self._time_steps)))

    @property
    def _lane_length(self) -> int:
        return self._learned // self._lanes

    @property
    def _chunks(self) -> int:
        """Chunks in a lane, the place where the first begins left free, and one character for the last answer."""
        return (self._lane_length - 1) // self._time_steps - 1

    def _start(self, update: int, seed: int) -> tuple[int, bool]:
        """Return where in its lane the chunk of `update` begins, and whether the lane begins anew there.

        Every pass through the text begins at another place, so that the cuts fall elsewhere.
        """
        epoch, chunk = divmod(update, self._chunks)
        offset = int(np.random.default_rng([seed, 8, epoch]).integers(0, self._time_steps))
        return offset + chunk * self._time_steps, chunk == 0
