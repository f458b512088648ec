"""Keyword spotting on speech that espeak-ng makes: made, trained in Keras, exported, and stepped from samples.

    apt install espeak-ng
    python examples/keywords/spot_keywords.py

The network has strides: it reads a log-mel frame every 20 ms and answers every 40 ms, from the fifth frame on. The test
has voices, words and sentences that were not learned from. Detections are counted as a device makes them: from chunks
of samples, with `listen.py`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepcell.runtime.common.terminal import import_silently, print_table

import_silently("tensorflow")
import keras
from listen import BACKGROUND, FRONT_END, Spotter, listen
from speech import KEYWORDS, LEARNED_VOICES, LEARNED_WORDS, RATE, TEST_SENTENCES, TEST_VOICES, Recording, record

from stepcell.export import export
from stepcell.runtime import Model, load
from stepcell.runtime.data.audio import write_wav

LABELS = (BACKGROUND, *KEYWORDS)
FIRST, EVERY = 4, 2  # frames before the first answer, and from one to the next
_LATE = 0.7  # seconds after the end of a keyword in which a detection is one of it
L = keras.layers


def network(frames: np.ndarray, units: int) -> keras.Model:
    """Return the network: frames (T, bands) in, probabilities of the labels out, one for two frames."""
    source = keras.Input((None, FRONT_END.bands), name="frame")
    x = L.Normalization(mean=frames.mean(axis=0), variance=frames.var(axis=0))(source)
    x = L.Reshape((-1, FRONT_END.bands, 1))(x)
    x = L.Conv2D(16, (5, 5), strides=(EVERY, 2), use_bias=False)(x)  # valid along the time: the first answer comes late
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D((3, 3), use_bias=False)(L.ZeroPadding2D(((2, 0), (1, 1)))(x))
    x = L.Conv2D(24, (1, 1), use_bias=False)(x)
    x = L.MaxPooling2D((1, 2))(L.ReLU()(L.BatchNormalization()(x)))
    x = L.Dropout(0.2)(L.Reshape((-1, x.shape[2] * x.shape[3]))(x))
    x = L.GRU(units, return_sequences=True)(x)
    return keras.Model(source, L.Dense(len(LABELS), activation="softmax")(x))


def targets(recording: Recording, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the right label of each answer, and whether it counts: while a keyword is being said it does not."""
    ends = (np.arange(FIRST, count, EVERY) * FRONT_END.hop + FRONT_END.frame_length) / RATE  # seconds
    labels, counts = np.zeros(len(ends), np.int32), np.ones(len(ends), np.float32)
    for keyword, first, last in recording.spoken:
        counts[(ends > first / RATE) & (ends <= last / RATE)] = 0
        after = (ends > last / RATE) & (ends <= last / RATE + 0.25)
        labels[after], counts[after] = LABELS.index(keyword), 4
    return labels, counts


def texts_to_learn(random: np.random.Generator) -> list[str]:
    """Return the texts of a recording: two keywords, two words, and words that are said without pauses."""
    running = [" ".join(random.choice(LEARNED_WORDS, random.integers(4, 8))) for _ in range(2)]
    texts = [*random.choice(KEYWORDS, 2), *random.choice(LEARNED_WORDS, 2), *running]
    return [str(text) for text in random.permutation(texts)]


def learn(recordings: Sequence[Recording], units: int, epochs: int) -> keras.Model:
    """Train the network on `recordings`, cut to the shortest of them."""
    frames = [FRONT_END.frames(each.samples)[0] for each in recordings]
    shortest = min(map(len, frames))
    x = np.stack([each[:shortest] for each in frames])
    labels, counts = zip(*(targets(each, shortest) for each in recordings), strict=True)
    model = network(np.concatenate(frames), units)
    steps = len(x) // 16 * epochs
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
                  "sparse_categorical_crossentropy")  # fmt: skip
    model.fit(x, np.stack(labels), sample_weight=np.stack(counts), batch_size=16, epochs=epochs, verbose=0)
    return model


def judge(model: Model, recording: Recording, threshold: float) -> tuple[int, int, int]:
    """Return how many keywords were detected, how many detections were wrong, and how many keywords there are."""
    left, wrong = list(recording.spoken), 0
    for seconds, keyword in listen(model, recording.samples, Spotter(LABELS, threshold)):
        found = next(
            (each for each in left if each[0] == keyword and each[1] / RATE < seconds < each[2] / RATE + _LATE), None
        )
        if found is None:
            wrong += 1
        else:
            left.remove(found)
    return len(recording.spoken) - len(left), wrong, len(recording.spoken)


def microseconds_a_frame(model: Model, recording: Recording) -> float:
    """Return the processor time of a frame, from samples to answer."""
    samples = recording.samples[: 20 * RATE]
    began = time.process_time()
    for _ in listen(model, samples):
        pass
    return (time.process_time() - began) / (len(samples) / FRONT_END.hop) * 1e6


def spot(
    out: Path, *, recordings: int, epochs: int, units: int, spoken: int, seed: int, steps: int = 10_000
) -> list[dict[str, Any]]:
    """Make, train, export and test; return a row for each file."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    learned = [record(texts_to_learn(random), LEARNED_VOICES, random, (0.05, 0.7)) for _ in range(recordings)]
    began = time.perf_counter()
    model = learn(learned, units, epochs)
    seconds = time.perf_counter() - began
    print(f"{model.count_params():,} parameters, {sum(r.hours for r in learned) * 60:.0f} minutes of speech, "
          f"{epochs} epochs, {seconds:.1f} s")  # fmt: skip
    exported = export(model, out, labels=LABELS, quantize=["int8"], formats=["tflite"],
                      allow_inaccurate=["int8"], steps=steps)  # fmt: skip
    positive = record(random.choice(KEYWORDS, spoken).tolist(), TEST_VOICES, random, (0.8, 1.5))
    negative = record(random.choice(TEST_SENTENCES, spoken).tolist(), TEST_VOICES, random)
    (out / "test.wav").write_bytes(write_wav(positive.samples, RATE))
    rows = []
    for path in (each for each in exported.files if each.suffix == ".tflite"):
        device = load(path)
        for threshold in (0.4, 0.6, 0.8):
            found, wrong, there = judge(device, positive, threshold)
            false = judge(device, negative, threshold)[1]
            rows.append({
                "file": path.name, "threshold": f"{threshold:g}", "detected": f"{found} of {there}",
                "wrong": str(wrong), "false alarms an hour of speech": f"{false / negative.hours:.1f}",
                "us a frame": f"{microseconds_a_frame(device, positive):.0f}",
            })  # fmt: skip
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    minutes = negative.hours * 60
    print(f"{there} keywords and {minutes:.0f} minutes of sentences without one, by voices that were not learned from")
    return rows


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/keywords"), help="folder for the files")
    parser.add_argument("--recordings", type=int, default=400, help="recordings to learn from")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--units", type=int, default=32, help="units of the GRU")
    parser.add_argument("--spoken", type=int, default=200, help="keywords, and sentences, of the test")
    parser.add_argument("--seed", type=int, default=1)
    spot(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
