"""Layers that look words up are the vocabulary of the file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, prove
from support.keras_models import with_random_weights

from stepcell.export.model_files import build_file
from stepcell.export.prepare import prepare

L = keras.layers
WORDS = ["start", "run", "stop", "wait"]


def model_of(layer, dtype, shape=(None,), mask=False):
    source = keras.Input(shape, dtype=dtype, name="event")
    ids = layer(source)
    size = layer.vocabulary_size()
    x = L.GRU(5, return_sequences=True)(L.Embedding(size, 4, mask_zero=mask)(ids))
    return with_random_weights(keras.Model(source, L.Dense(3, activation="softmax")(x)))


@pytest.mark.parametrize(
    ("model", "symbols", "unknown"),
    [
        (lambda: model_of(L.StringLookup(vocabulary=WORDS), "string"), ("[UNK]", *WORDS), "[UNK]"),
        pytest.param(
            lambda: model_of(L.StringLookup(vocabulary=WORDS, num_oov_indices=0), "string"),
            tuple(WORDS),
            None,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: model_of(L.StringLookup(vocabulary=WORDS, mask_token=""), "string", mask=True),
            ("[MASK]", "[UNK]", *WORDS),
            "[UNK]",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: model_of(L.IntegerLookup(vocabulary=[12, 36, 1138]), "int64"),
            ("-1", "12", "36", "1138"),
            "-1",
            marks=pytest.mark.slow,
        ),
        (
            lambda: model_of(L.TextVectorization(vocabulary=WORDS), "string", (1,)),
            ("[MASK]", "[UNK]", *WORDS),
            "[UNK]",
        ),
    ],
)
def test_the_words_are_the_vocabulary_and_the_model_is_proven(model, symbols, unknown, device, tmp_path):
    prepared = prepare(model())
    assert prepared.manifest.vocabulary.symbols == symbols
    assert prepared.manifest.vocabulary.unknown == unknown
    built = build_file(prepared, "onnx", "float32", tmp_path)
    assert max(parity.error for parity in prove(built, expected_of(prepared, steps=50), device).parity) <= 1e-5


def test_a_given_vocabulary_goes_before_that_of_the_model():
    prepared = prepare(
        model_of(L.StringLookup(vocabulary=WORDS), "string"), vocabulary=tuple("abcde"), labels=tuple("xyz")
    )
    assert np.array_equal(prepared.manifest.vocabulary.symbols, tuple("abcde"))
