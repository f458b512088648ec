"""Chunks of samples in place of lines: raw float32 as it comes, or a WAV file."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..common.arrays import Float32
from ..common.errors import OptionError
from ..data.audio import read_wav
from ..format.manifest import Manifest
from .input_line import Event
from .lines import Line, LineBuffer, Lines
from .signals import SignalGuard

F32, WAV = "f32", "wav"
SOUND_FORMATS = (F32, WAV)
_BYTES = 4  # of a float32


class Chunks:
    """Turns chunks of samples into events of a model that reads one feature of numbers.

    Attributes:
        new: The number of samples that are new in each chunk.
        rate: Samples per second; None: not known.
    """

    def __init__(self, manifest: Manifest, format: str, rate: int | None, overlap: int) -> None:
        """Read chunks of `format`, in which `overlap` samples of the chunk before come first (zeros at the beginning).

        Raises:
            OptionError: The model does not read one feature of numbers alone, or the options do not fit it.
        """
        features, mapping = manifest.features, manifest.io_mapping
        if len(features) != 1 or features[0].ids is not None or len(manifest.vocabulary):
            read = ["symbols"] if len(manifest.vocabulary) else []
            read += [feature.describe() for feature in features]
            raise OptionError(
                f"--format {format} feeds one feature of numbers at each step; {manifest.name} reads {', '.join(read)}."
            )
        self._feature = features[0]
        self._size = prod(self._feature.shape)
        if overlap >= self._size:
            raise OptionError(
                f"--overlap {overlap} leaves no new samples: {manifest.name} reads {self._size} at each step."
            )
        self.new, self._tail = self._size - overlap, np.zeros(overlap, np.float32)
        self.rate = rate or (mapping.rate if mapping else None)
        if format == WAV and self.rate is None:
            raise OptionError(f"{manifest.name} does not say how many samples per second it reads: give --rate.")

    @property
    def bytes_of_chunk(self) -> int:
        """The number of bytes of a chunk without the overlap."""
        return _BYTES * self.new

    def event(self, line: Line) -> Event:
        """Return the event of a chunk; `keep` it once it is stepped."""
        samples = np.concatenate([self._tail, np.frombuffer(line.content, "<f4")])
        fields = {} if self.rate is None else {"seconds": round(line.number * self.new / self.rate, 6)}
        return Event(None, {self._feature.name: samples.reshape(self._feature.shape)}, fields=fields)

    def keep(self, event: Event) -> None:
        """Keep the end of a chunk that was stepped, for the next one."""
        if self._tail.size and event.features is not None:
            self._tail = event.features[self._feature.name].reshape(-1)[-self._tail.size :].copy()

    def to_note(self) -> list[float]:
        """Return the end of the last chunk, for `restore`."""
        return [float(number) for number in self._tail]

    def restore(self, note: Any) -> None:
        """Go on after a chunk whose end `to_note` returned; anything else is no such end."""
        is_tail = isinstance(note, list) and len(note) == self._tail.size
        if is_tail and all(isinstance(number, float) and abs(number) < 1e30 for number in note):
            self._tail = np.array(note, np.float32)


class ChunkBuffer(LineBuffer):
    """Split what was read into chunks of `size` bytes."""

    def __init__(self, size: int, tell: Callable[[str], None], position: int = 0, number: int = 0) -> None:
        """Begin at an offset; `tell` takes a remark about a chunk that is not whole."""
        super().__init__(position, number)
        self._size, self._tell = size, tell

    def add(self, content: bytes) -> None:
        """Append what was read."""
        content = self._rest + content
        whole = len(content) // self._size * self._size
        self._lines.extend((content[at : at + self._size], self._size) for at in range(0, whole, self._size))
        self._rest = content[whole:]

    def finish(self) -> None:
        """Drop what is no whole chunk."""
        if self._rest:
            self._tell(
                f"The last {len(self._rest) // _BYTES} samples are no whole chunk of {self._size // _BYTES}: not read."
            )
            self._rest = b""

    def next(self) -> Line | None:
        """Return the next whole chunk; None: there is none."""
        if not self._lines:
            return None
        content, size = self._lines.popleft()
        self._before = self.position, self.number
        self.position += size
        self.number += 1
        return Line(self.number, content)


class SampleLines(Lines):
    """Chunks of samples that are all there."""

    def __init__(self, samples: Float32, buffer: ChunkBuffer, guard: SignalGuard) -> None:
        """Begin with the first chunk of `samples`."""
        super().__init__(guard)
        self._buffer = buffer
        self._buffer.add(samples.astype("<f4").tobytes())

    def _read_on(self, timeout: float | None) -> bool:
        self._buffer.finish()
        self.has_ended = True
        return True


def wav_lines(
    content: bytes, name: str, chunks: Chunks, tell: Callable[[str], None], guard: SignalGuard
) -> SampleLines:
    """Return the chunks of a WAV file.

    Raises:
        InputError: It is no WAV file of 16 bits, one channel, and the rate of the model.
    """
    samples = read_wav(content, name, chunks.rate or 0)
    return SampleLines(samples, ChunkBuffer(chunks.bytes_of_chunk, tell), guard)
