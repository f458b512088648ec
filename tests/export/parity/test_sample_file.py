"""Samples in files have a row for each step and a column for each input, in any format that the readers know."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from stepcell.export.parity.golden import golden_of
from stepcell.export.parity.sample_file import read_sample
from stepcell.export.parity.sample_inputs import sample_inputs, typical_inputs
from stepcell.export.prepare import prepare
from stepcell.runtime import FeatureMismatchError, UnknownSymbolError
from stepcell.runtime.common.errors import CorpusError

L = keras.layers
SPEED = np.array([[1.5, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)


@pytest.fixture(scope="module")
def sensor():
    """A model that reads one vector of two numbers."""
    layers = [L.GRU(3, return_sequences=True), L.Dense(1)]
    return prepare(keras.Sequential([keras.Input((None, 2), name="speed"), *layers]))


@pytest.fixture(scope="module")
def event():
    """A model that reads a symbol, an id and a vector."""
    ids = [keras.Input((None,), dtype="int32", name=name) for name in ("symbol", "hour")]
    speed = keras.Input((None, 2), name="speed")
    read = L.Concatenate()([L.Embedding(3, 2)(ids[0]), L.Embedding(24, 2)(ids[1]), speed])
    outputs = L.Dense(3, "softmax")(L.GRU(3, return_sequences=True)(read))
    return prepare(keras.Model([*ids, speed], outputs), vocabulary=["a", "b", "c"])


def csv_text(header, rows):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def test_a_vector_is_read_from_any_format(sensor, tmp_path):
    (tmp_path / "named.csv").write_text(csv_text("time,speed[0],speed[1]", [(0, *row) for row in SPEED.tolist()]))
    (tmp_path / "bare.csv").write_text(csv_text("left,right", SPEED.tolist()))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"speed": row}) + "\n" for row in SPEED.tolist()))
    np.savez(tmp_path / "arrays.npz", speed=SPEED)
    np.save(tmp_path / "array.npy", SPEED)
    for path in tmp_path.iterdir():
        symbols, features = read_sample(path, sensor.manifest)
        assert symbols is None
        np.testing.assert_array_equal(features["speed"], SPEED, err_msg=path.name)


def test_symbols_and_ids_are_read_beside_numbers(event, tmp_path):
    hours = [7, 8, 23]
    rows = [("abc"[row], hours[row], *SPEED[row].tolist()) for row in range(3)]
    (tmp_path / "events.csv").write_text(csv_text("symbol,hour,speed[0],speed[1]", rows))
    np.savez(tmp_path / "events.npz", symbol=np.arange(3), hour=np.array(hours), speed=SPEED)
    for path in tmp_path.iterdir():
        sample = sample_inputs(event.manifest, path, None)
        assert sample.ids.tolist() == [0, 1, 2]
        assert sample.features["hour"].tolist() == hours
        np.testing.assert_array_equal(sample.features["speed"], SPEED)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("few.csv", "symbol,hour\na,1\n", CorpusError, r"no column for speed\[0\], ..., speed\[1\]"),
        (
            "text.csv",
            "symbol,hour,speed[0],speed[1]\na,1,fast,2\n",
            CorpusError,
            "line 2: 'fast' in the column 'speed'",
        ),
        ("id.csv", "symbol,hour,speed[0],speed[1]\na,24,1,2\n", CorpusError, "'24' is no id of hour"),
        ("other.csv", "symbol,hour,speed[0],speed[1]\nz,1,1,2\n", UnknownSymbolError, "'z' is not in the vocabulary"),
        ("short.jsonl", '{"symbol": "a", "hour": 1, "speed": [1]}\n', CorpusError, "1 numbers for speed"),
        ("empty.csv", "symbol,hour,speed[0],speed[1]\n", CorpusError, "has no rows"),
        ("sample.txt", "a", CorpusError, "does not tell its format; a sample ends in .csv"),
        ("broken.npz", "no archive", CorpusError, "holds no sample"),
    ],
)
def test_a_sample_that_does_not_fit_says_why(name, content, error, message, event, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        sample_inputs(event.manifest, tmp_path / name, None)


def test_features_of_a_sample_have_the_names_that_the_model_reads(sensor, event):
    with pytest.raises(FeatureMismatchError, match="there is no sped"):
        sample_inputs(sensor.manifest, None, {"sped": SPEED})
    with pytest.raises(FeatureMismatchError, match="Give the symbols beside them"):
        sample_inputs(event.manifest, None, {"speed": SPEED})


def test_parity_and_the_golden_sequence_step_what_the_sample_holds(sensor):
    sample = sample_inputs(sensor.manifest, None, {"speed": SPEED})
    typical = typical_inputs(sensor.step_function, 7, np.random.default_rng(0), sample)
    np.testing.assert_array_equal(typical.features["speed"], np.resize(SPEED, (7, 2)))
    rows = {tuple(row) for run in golden_of(sensor.step_function, sample=sample).runs for row in run.features["speed"]}
    assert rows == {tuple(row) for row in SPEED.tolist()}
