"""The example of keyword spotting: detections are smoothed and debounced, and the whole of it runs, on made tones."""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "keywords"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def tones(text, voice, speed, pitch):
    """Each word is three tones of its own."""
    sounds = []
    for word in text.split():
        random = np.random.default_rng(zlib.crc32(word.encode()))
        for hertz in random.uniform(200, 4000, 3) * (1 + pitch / 2000):
            sounds.append(0.5 * np.sin(2 * np.pi * hertz * np.arange(3000) / 22_050))
    return np.concatenate(sounds).astype(np.float32)


def test_a_keyword_is_one_detection_however_many_answers_name_it(example):
    spotter = example("listen").Spotter(("(none)", "lamp"), threshold=0.8, answers=3, pause=1.0)
    heard = [spotter.hear(np.array([0.1, 0.9]), 0.04 * step) for step in range(20)]
    assert [step for step, keyword in enumerate(heard) if keyword] == [2]
    assert spotter.hear(np.array([0.1, 0.9]), 1.2) == "lamp"


def test_a_single_answer_is_no_detection(example):
    spotter = example("listen").Spotter(("(none)", "lamp"), threshold=0.5, answers=3)
    answers = [[1, 0], [0, 1], [1, 0], [1, 0], [0, 1], [1, 0]]
    assert not any(spotter.hear(np.array(answer, float), step) for step, answer in enumerate(answers))


def test_a_recording_says_where_its_keywords_are(example, monkeypatch):
    speech = example("speech")
    monkeypatch.setattr(speech, "say", tones)
    recording = speech.record(["wind", "marvin", "open window"], ("f1",), np.random.default_rng(1))
    ((keyword, first, last),) = recording.spoken
    assert (keyword, last - first) == ("marvin", 9000)
    loudness = np.abs(recording.samples.astype(float))
    assert loudness[first:last].mean() > 20 * loudness[first - 2000 : first].mean()


@pytest.mark.slow
def test_the_example_runs_from_speech_to_detections(example, monkeypatch, tmp_path):
    speech, listen = example("speech"), example("listen")
    monkeypatch.setattr(speech, "say", tones)
    spot = example("spot_keywords")
    rows = spot.spot(tmp_path, recordings=16, epochs=1, units=4, spoken=3, seed=1, steps=100)
    assert [row["file"] for row in rows[::3]] == ["model.tflite", "model.int8.tflite"]
    assert all(row["detected"].endswith(" of 3") for row in rows)
    model = spot.load(tmp_path / "model.tflite")
    assert (model.manifest.answers.first, model.manifest.answers.every) == (5, 2)
    samples = listen.read_wav((tmp_path / "test.wav").read_bytes(), "test.wav", 22_050)
    lenient = listen.Spotter(spot.LABELS, threshold=1e-6)
    heard = list(listen.listen(model, samples, lenient))
    assert {keyword for _, keyword in heard} <= set(speech.KEYWORDS)
    assert all(np.diff([seconds for seconds, _ in heard]) >= lenient.pause)
    assert len(heard) > 1
