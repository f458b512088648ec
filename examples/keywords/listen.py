"""Hear keywords in a WAV file, with the runtime alone: numpy and one interpreter.

    python examples/keywords/listen.py build/keywords/model.tflite recording.wav

The samples come in chunks, as from a microphone. `LogMel` makes frames of them, the model steps a frame at a time and
answers every second one, and `Spotter` decides: the mean of the last answers, a threshold, and a pause after each
detection.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stepcell.runtime import LogMel, Model, load
from stepcell.runtime.data.audio import read_wav

BACKGROUND = "(none)"
FRONT_END = LogMel(sample_rate=22_050, frame_length=882, hop=441, bands=24, low=60, high=8_000)  # 50 frames a second
CHUNK = 1_000  # samples


@dataclass
class Spotter:
    """Smoothing and debounce.

    Attributes:
        labels: The labels of the answers, BACKGROUND among them.
        threshold: The smallest mean probability of a detection.
        answers: How many answers the mean is taken of.
        pause: Seconds after a detection in which there is no other.
    """

    labels: tuple[str, ...]
    threshold: float = 0.8
    answers: int = 6
    pause: float = 0.7
    _last: deque[np.ndarray] = field(default_factory=deque)
    _silent_until: float = 0.0

    def hear(self, probabilities: np.ndarray, seconds: float) -> str | None:
        """Take the answer at a time, and return the keyword that is detected by it."""
        self._last.append(probabilities)
        if len(self._last) > self.answers:
            self._last.popleft()
        mean = sum(self._last) / self.answers
        best = int(np.argmax([0.0 if label == BACKGROUND else p for label, p in zip(self.labels, mean, strict=True)]))
        if mean[best] < self.threshold or seconds < self._silent_until:
            return None
        self._silent_until = seconds + self.pause
        self._last.clear()
        return self.labels[best]


def listen(model: Model, samples: np.ndarray, spotter: Spotter | None = None) -> Iterator[tuple[float, str]]:
    """Yield the time in seconds and the keyword of each detection in `samples`, floats from -1 to 1."""
    spotter = spotter or Spotter(tuple(model.output_vocabulary.symbols))
    stream, carried, frames_seen = model.stream(), FRONT_END.initial_state(), 0
    for begin in range(0, len(samples), CHUNK):
        frames, carried = FRONT_END.frames(samples[begin : begin + CHUNK], carried)
        for frame in frames:
            frames_seen += 1
            prediction = stream.step(features={"frame": frame})
            if prediction is None:  # a step without an answer
                continue
            seconds = ((frames_seen - 1) * FRONT_END.hop + FRONT_END.frame_length) / FRONT_END.sample_rate
            keyword = spotter.hear(prediction.probabilities, seconds)
            if keyword is not None:
                yield seconds, keyword


def main() -> None:
    """Print the detections in a file."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    path = Path(sys.argv[2])
    samples = read_wav(path.read_bytes(), path.name, FRONT_END.sample_rate)
    for seconds, keyword in listen(load(sys.argv[1]), samples):
        print(f"{seconds:7.2f} s  {keyword}")


if __name__ == "__main__":
    main()
