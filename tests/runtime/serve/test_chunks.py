"""`stepcell predict` on chunks of samples: raw float32 from a pipe or a file, and WAV."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import load
from stepcell.runtime.data.audio import write_wav

LEVEL = DATA / "level.onnx"  # an adopted mean of chunks of 5 samples, 10 in a second, which halves at each step
SAMPLES = np.sin(np.arange(23, dtype=np.float32)).round(2)


def predict(*arguments, input=b"", model=LEVEL):
    return CliRunner().invoke(app, ["predict", str(model), *map(str, arguments)], input=input)


def expected(samples=SAMPLES, overlap=0):
    """What a stream of its own answers."""
    stream, new = load(LEVEL).stream(), 5 - overlap
    padded = np.concatenate([np.zeros(overlap, np.float32), samples])
    chunks = [padded[at : at + 5] for at in range(0, len(samples) - new + 1, new)]
    return [pytest.approx(float(stream.step(features=chunk).values[0]), rel=1e-5) for chunk in chunks]


def values(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line)["values"][0] for line in result.stdout.splitlines()]


def as_wav(rate=10):
    return write_wav(SAMPLES, rate)


@pytest.mark.parametrize("overlap", [0, 2])
def test_raw_floats_of_a_pipe_are_chunks_and_the_rest_is_told(overlap):
    result = predict("--format", "f32", "--json", "--overlap", overlap, input=SAMPLES.tobytes())
    assert values(result) == expected(overlap=overlap)
    left = len(SAMPLES) % (5 - overlap)
    assert f"The last {left} samples are no whole chunk of {5 - overlap}" in result.stderr
    assert [json.loads(line)["seconds"] for line in result.stdout.splitlines()][:2] == [
        (5 - overlap) / 10, (5 - overlap) / 5,
    ]  # fmt: skip


def test_a_wav_file_and_a_wav_on_stdin_answer_alike(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(as_wav())
    rounded = (SAMPLES * 32_768).round() / np.float32(32_768)
    for result in (predict("--format", "wav", "--json", "--input", path),
                   predict("--format", "wav", "--json", input=as_wav())):  # fmt: skip
        assert values(result) == expected(rounded.astype(np.float32))


def test_a_saved_state_goes_on_in_the_middle_of_the_samples(tmp_path):
    path = tmp_path / "x.f32"
    path.write_bytes(SAMPLES[:13].tobytes())
    arguments = ("--format", "f32", "--json", "--overlap", 2, "--input", path, "--state", tmp_path / "s")
    first = values(predict(*arguments))
    with open(path, "ab") as file:
        file.write(SAMPLES[13:].tobytes())
    assert first + values(predict(*arguments)) == expected(overlap=2)


@pytest.mark.parametrize(
    ("arguments", "input", "problem"),
    [
        (("--format", "wav"), as_wav(rate=44_100), "44,100 samples per second; wanted are 16 bits, 1 channel, 10"),
        (("--format", "wav", "--rate", 8000), as_wav(), "wanted are 16 bits, 1 channel, 8,000"),
        (("--format", "wav"), b"RIFF", "stdin is no WAV file"),
        (("--format", "f32", "--overlap", 5), b"", "--overlap 5 leaves no new samples"),
        (("--overlap", 1), b"", "it needs --format f32 or --format wav"),
        (("--format", "f32", "--key", "k"), b"", "leave out --key"),
        (("--format", "wav", "--input", "none.wav"), b"", "Cannot read none.wav"),
        (("--format", "f32"), np.full(5, np.nan, np.float32).tobytes(), "chunk is not finite"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, input, problem):
    result = predict(*arguments, input=input)
    assert result.exit_code == (2 if problem.startswith(("--overlap", "it needs", "leave out")) else 1)
    assert problem in result.stderr
    assert "Traceback" not in result.output


def test_models_of_symbols_or_of_unknown_rate_are_refused():
    result = predict("--format", "f32", model=DATA / "memory.tflite")
    assert "feeds one feature of numbers at each step; memory reads symbols" in result.stderr
    result = predict("--format", "wav", model=DATA / "sensor.tflite", input=as_wav())
    assert "does not say how many samples per second it reads: give --rate" in result.stderr
