"""Make speech: words and sentences by espeak-ng, with many voices, and recordings of them with what is said when.

It needs espeak-ng and makes a recording of the texts that it is given:

    apt install espeak-ng
    python examples/keywords/speech.py recording.wav marvin "open the window" computer
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from stepcell.runtime.data.audio import write_wav

RATE = 22_050  # samples in a second, as espeak-ng makes them
KEYWORDS = ("computer", "marvin", "window")
# Said by voices of the same languages; the first are learned from, the others are the test.
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
LEARNED_VOICES = ("m1", "m3", "m4", "m6", "f1", "f2", "f4", "Andy", "Annie", "Denis", "Lee", "Mario", "steph", "anika")
TEST_VOICES = ("m2", "m5", "m7", "f3", "f5", "Alex", "Linda")
_HERE = Path(__file__).parent
LEARNED_WORDS = tuple((_HERE / "words.txt").read_text().split())  # some of them sound like keywords
TEST_SENTENCES = tuple((_HERE / "sentences.txt").read_text().splitlines())


@dataclass(frozen=True)
class Recording:
    """Sound, and the keywords in it.

    Attributes:
        samples: float32 of shape (S,), from -1 to 1.
        spoken: Keyword, first and last sample of it.
    """

    samples: np.ndarray
    spoken: tuple[tuple[str, int, int], ...]

    @property
    def hours(self) -> float:
        """Its length in hours."""
        return len(self.samples) / RATE / 3600


@cache
def say(text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """Return `text` as a voice says it, float32 from -1 to 1, without the silence around it."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise SystemExit("espeak-ng is not installed: apt install espeak-ng")
    options = ["-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    content = subprocess.run([program, *options], check=True, capture_output=True).stdout
    samples = np.frombuffer(content[44:], "<i2").astype(np.float32) / 32_768  # behind the header of the WAV file
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def speak_all(texts: Sequence[str], voices: Sequence[str], random: np.random.Generator) -> list[np.ndarray]:
    """Return each of `texts` in a random voice, speed, pitch and loudness."""
    chosen = [
        (f"{random.choice(LANGUAGES)}+{random.choice(voices)}", int(random.integers(120, 210)),
         int(random.integers(20, 80)))
        for _ in texts
    ]  # fmt: skip
    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(lambda text, how: say(text, *how), texts, chosen))
    return [sound * random.uniform(0.2, 1.0) for sound in spoken]


def record(
    texts: Sequence[str], voices: Sequence[str], random: np.random.Generator, gaps: tuple[float, float] = (0.2, 0.8)
) -> Recording:
    """Return a recording of `texts` one after the other, with pauses of so many seconds, and noise."""
    pieces, spoken, at = [], [], 0
    for text, sound in zip(texts, speak_all(texts, voices, random), strict=True):
        pause = np.zeros(int(random.uniform(*gaps) * RATE), np.float32)
        pieces += [pause, sound]
        at += len(pause)
        if text in KEYWORDS:
            spoken.append((text, at, at + len(sound)))
        at += len(sound)
    pieces.append(np.zeros(RATE // 2, np.float32))
    samples = np.concatenate(pieces)
    samples = samples + random.standard_normal(len(samples), np.float32) * 10 ** random.uniform(-4, -2)
    return Recording(samples.clip(-1, 1).astype(np.float32), tuple(spoken))


def main() -> None:
    """Write a recording of the texts of the command line."""
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    recording = record(sys.argv[2:], TEST_VOICES, np.random.default_rng())
    Path(sys.argv[1]).write_bytes(write_wav(recording.samples, RATE))


if __name__ == "__main__":
    main()
