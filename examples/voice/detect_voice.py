"""Where somebody speaks: silero-vad, adopted and stepped beside its own wrapper, two recordings in turns.

    pip download --no-deps silero-vad
    python examples/voice/detect_voice.py silero_vad-*.whl

The model (MIT) is taken out of the wheel; torch, which the package asks for, is not needed. It reads chunks of 576
samples at 16,000 a second: the last 64 of the chunk before and 512 new ones. The recordings are spoken by espeak-ng, if
it is installed, and else tones made by numpy; or give WAV files of 16 bits, one channel, 16,000 samples per second.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from stepcell.export.adopt import adopt
from stepcell.runtime import Stream, load
from stepcell.runtime.common.terminal import print_table
from stepcell.runtime.data.audio import read_wav, write_wav

RATE, OLD, NEW = 16_000, 64, 512
MODEL = "silero_vad/data/silero_vad.onnx"
SENTENCES = ("The quick brown fox jumps over the lazy dog.", "Two streams have a state each.")


def chunks(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Yield chunks of 64 old and 512 new samples, float32 (576,); zeros come before the first and after the last."""
    padded = np.concatenate([np.zeros(OLD, np.float32), samples, np.zeros(-len(samples) % NEW, np.float32)])
    for begin in range(0, len(padded) - OLD, NEW):
        yield padded[begin : begin + OLD + NEW]


class Wrapper:
    """The wrapper of the package silero-vad (OnnxWrapper), with numpy in place of torch: the reference."""

    def __init__(self, path: Path) -> None:
        """Open the model as the package does."""
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros((1, OLD), np.float32)

    def __call__(self, new: np.ndarray) -> float:
        """Return the probability of speech in 512 new samples."""
        x = np.concatenate([self._context, new[np.newaxis]], axis=1)
        inputs = {"input": x, "state": self._state, "sr": np.array(RATE, np.int64)}
        output, self._state = self._session.run(None, inputs)
        self._context = x[:, -OLD:]
        return float(output[0, 0])


def recordings(folder: Path) -> list[Path]:
    """Make two WAV files with pauses before, between and behind what is spoken."""
    made = []
    for number, sentence in enumerate(SENTENCES):
        pause = np.zeros(RATE // 2 + 5_000 * number, np.float32)
        sound = np.concatenate([pause, spoken(sentence, folder), pause])
        noise = np.random.default_rng(number).normal(0, 0.001, len(sound))
        made.append(folder / f"recording{number}.wav")
        made[-1].write_bytes(write_wav(sound + noise, RATE))
    return made


def spoken(sentence: str, folder: Path) -> np.ndarray:
    """Return a sentence at 16,000 samples per second, spoken by espeak-ng; without it, tones that come and go."""
    program = shutil.which("espeak-ng")
    if program is None:
        seconds = np.arange(2 * RATE) / RATE
        return (0.3 * np.sin(2 * np.pi * 150 * seconds) * (np.sin(2 * np.pi * 4 * seconds) > 0)).astype(np.float32)
    path = folder / "spoken.wav"
    subprocess.run([program, "-w", path, sentence], check=True, capture_output=True)
    found = read_wav(path.read_bytes(), path.name, 22_050)  # that is what it writes
    places = np.arange(0, len(found) - 1, 22_050 / RATE)
    return np.interp(places, np.arange(len(found)), found).astype(np.float32)


def probability(stream: Stream, chunk: np.ndarray) -> float:
    """Step a chunk and return the probability of speech in it."""
    return float(stream.step(features={"input": chunk}).values[0])


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="wheel of silero-vad, or its silero_vad.onnx")
    parser.add_argument("wav", type=Path, nargs="*", help="recordings; default: spoken by espeak-ng")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = given.model
        if source.suffix == ".whl":
            source = Path(zipfile.ZipFile(source).extract(MODEL, folder))
        options = {"features": ["input"], "constants": {"sr": RATE}, "shapes": {"input": (1, OLD + NEW)}}
        adopt(source, folder / "vad.onnx", values=True, **options)
        paths = given.wav or recordings(folder)
        sounds = [read_wav(path.read_bytes(), path.name, RATE) for path in paths]
        model = load(folder / "vad.onnx", backend="onnxruntime")
        streams, wrappers = [model.stream() for _ in sounds], [Wrapper(source) for _ in sounds]
        found: list[list[tuple[float, float]]] = [[] for _ in sounds]
        turns = [list(chunks(sound)) for sound in sounds]
        for step in range(max(map(len, turns))):  # the recordings in turns: each stream has its own state
            for number, own in enumerate(turns):
                if step < len(own):
                    pair = probability(streams[number], own[step]), wrappers[number](own[step][OLD:])
                    found[number].append(pair)
    show([path.name for path in paths], [np.array(each) for each in found])


def show(names: list[str], found: list[np.ndarray]) -> None:
    """Print what came of each recording; `found` holds the answers of stepcell and of the wrapper, (T, 2) each."""
    rows = []
    for name, each in zip(names, found, strict=True):
        seconds = len(each) * NEW / RATE
        speech = (each[:, 0] > 0.5).sum() * NEW / RATE
        difference = np.abs(each[:, 0] - each[:, 1]).max()
        rows.append([name, f"{seconds:.1f}", f"{speech:.1f}", f"{each[:, 0].max():.3f}", f"{difference:g}"])
    print_table(["recording", "seconds", "speech, s", "highest", "difference from the wrapper"], rows)


if __name__ == "__main__":
    main()
