"""How long a model remembers, as it is measured at export and stands in the file."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

from stepcell.export import export
from stepcell.runtime import read_model_file

SYMBOLS, STEPS = 5, 200


def forgetting(decay):
    """Return a model whose only state is decay times the last one, and the input; no arithmetic but that."""
    model = keras.Sequential(
        [
            keras.Input((None, SYMBOLS)),
            layers.SimpleRNN(SYMBOLS, activation="linear", use_bias=False, return_sequences=True),
            layers.Dense(SYMBOLS, activation="softmax"),
        ]
    )
    kernel, recurrent = np.eye(SYMBOLS), decay * np.eye(SYMBOLS)
    model.layers[0].set_weights([kernel, recurrent])
    return model


def convolving():
    return keras.Sequential(
        [
            keras.Input((None,)),
            layers.Embedding(SYMBOLS, 3),
            layers.Conv1D(4, 3, padding="causal"),
            layers.Conv1D(4, 2, dilation_rate=4, padding="causal"),
            layers.Dense(SYMBOLS, activation="softmax"),
        ]
    )


def strided():
    return keras.Sequential(
        [
            keras.Input((None,)),
            layers.Embedding(SYMBOLS, 3),
            layers.Conv1D(4, 2, strides=2, padding="causal"),
            layers.SimpleRNN(4, return_sequences=True, recurrent_initializer=keras.initializers.Identity(0.3)),
            layers.Dense(SYMBOLS, activation="softmax"),
        ]
    )


def exported(model, folder, **options):
    result = export(model, folder, formats=("onnx",), steps=STEPS, **options)
    return read_model_file(folder / "model.onnx").manifest.memory, result


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_a_state_that_decays_is_remembered_until_nothing_is_left_of_it(decay, tmp_path):
    memory, result = exported(forgetting(decay), tmp_path, one_hot=True)
    size = 1 / (1 - decay)  # the largest state there is
    assert np.log(1e-4 / 1.0) / np.log(decay) - 20 < memory <= np.ceil(np.log(1e-4 / size) / np.log(decay))
    assert f"remembers about {memory} steps: a stream that begins anew is right again then" in result.notes
    assert result.notes[-2] in json.loads(result.files[-1].read_bytes())["notes"]


def test_a_convolution_remembers_the_steps_that_it_reads(tmp_path):
    assert exported(convolving(), tmp_path)[0] == 6  # the last of 7 is the one that is read now


def test_a_window_remembers_its_steps(tmp_path):
    assert exported(forgetting(0.5), tmp_path, one_hot=True, window=3)[0] == 3


def test_a_state_that_never_decays_is_remembered_for_as_long_as_can_be_said(tmp_path):
    memory, result = exported(forgetting(1.0), tmp_path, one_hot=True)
    assert memory == 4096
    assert any(note.startswith("remembers 4,096 steps or more") for note in result.notes)


def test_a_pair_begins_where_the_strides_of_a_model_come_round(tmp_path):
    memory, _ = exported(strided(), tmp_path)
    assert memory < 40  # one step later the clocks of a pair would never agree
