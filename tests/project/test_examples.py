"""The examples judge as their protocols say; what they train is too long for a test."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stepcell.runtime.data import Recording, encode_sequences
from stepcell.runtime.evaluation import NGram
from stepcell.runtime.format.vocabulary import Vocabulary

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(path):
    specification = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hdfs():
    return example(EXAMPLES / "hdfs" / "log_anomalies.py")


@pytest.fixture(scope="module")
def process():
    return example(EXAMPLES / "process" / "next_activity.py")


def test_a_session_is_as_surprising_as_its_most_surprising_key(hdfs):
    vocabulary = Vocabulary(("a", "b", "c", "<end>"))
    learned = encode_sequences(Recording.of(["ab"] * 20 + ["ac"]), vocabulary, "<end>")
    tape = encode_sequences(Recording.of(["ab", "ac", "a" * 12]), vocabulary, "<end>")
    judged = NGram(learned, 4, 2).score(tape)
    sessions = hdfs.Sessions.of(judged, tape)
    assert sessions.ranks[:2].tolist() == [1, 2]
    bits = -judged.log_probabilities / np.log(2)
    assert sessions.bits.tolist() == [bits[first:end].max() for first, end in [(0, 3), (3, 6), (6, 19)]]


def test_the_usual_rule_calls_every_short_session_an_anomaly_and_sees_nothing_before_the_eleventh_key(hdfs):
    vocabulary = Vocabulary(("a", "b", "<end>"))
    tape = encode_sequences(Recording.of(["a" * 10, "a" * 11, "b" + "a" * 11]), vocabulary, "<end>")
    judged = NGram(encode_sequences(Recording.of(["a" * 12] * 9), vocabulary, "<end>"), 3, 3).score(tape)
    sessions = hdfs.Sessions.of(judged, tape)
    assert sessions.late.tolist() == [np.inf, 1, 1]
    assert sessions.ranks[2] > 1


def test_false_alarms_weigh_as_in_the_published_test(hdfs):
    normal, abnormal = np.zeros(1000, bool), np.ones(hdfs.ABNORMAL, bool)
    normal[:10] = True
    recall, precision, f1, error = hdfs.figures(normal, abnormal)
    assert recall == 1
    assert precision == pytest.approx(16_838 / (16_838 + 5_533.66))
    assert f1 == pytest.approx(2 * precision / (1 + precision))
    assert 0 < error < 0.1
    assert hdfs.area(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(7 / 8)


def test_the_shipped_sessions_are_those_of_the_published_protocol(hdfs):
    reading = hdfs.EventsReader(format="lines", end=hdfs.END)
    found = {name: reading.read(hdfs.DATA / f"{name}.gz") for name in ("train_normal", "test_normal", "test_abnormal")}
    assert [len(recording) for recording in found.values()] == [4855, 7000, hdfs.ABNORMAL]
    assert (found["test_abnormal"].lengths <= hdfs.HISTORY).sum() == 6193
    assert [len(recording.symbols) for recording in found.values()][::2] == [14, 28]


def test_gaps_are_shown_and_not_asked_for(process):
    vocabulary = Vocabulary(("x", "y", *process.GAPS.symbols, "<end>"))
    case = ["x", "y", "gap<1h", "x", "gap<1d"]
    test = process.Test.of(Recording.of([case, ["x"]]), vocabulary)
    assert test.seen.tolist() == [0, 1, 2, 2, 3, 3, 0, 1]
    assert test.asked.tolist() == [True, True, False, True, False, True, True, True]
    answers = np.full((8, len(vocabulary)), 1e-9)
    answers[np.arange(8), test.tape.targets] = 1
    assert test.row("perfect", answers)[1:] == ["1.0000", "1.0000", "1.0000", "0.0000"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.py")), ids=lambda path: path.stem)
def test_every_example_is_shown_in_their_readme_by_its_command(path):
    command = f"python examples/{path.relative_to(EXAMPLES)}"
    assert command in (EXAMPLES / "README.md").read_text()
    assert re.search(rf"^ *{command}", path.read_text(), re.MULTILINE)


@pytest.mark.slow
def test_an_adopted_voice_detector_answers_exactly_as_its_own_wrapper(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), "silero-vad"],
        check=True,
    )
    (wheel,) = tmp_path.glob("silero_vad-*.whl")
    command = [sys.executable, str(EXAMPLES / "voice" / "detect_voice.py"), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["recording0.wav", "recording1.wav"]
    assert [row[-1] for row in rows] == ["0", "0"]
