"""Make the model file of an untrained LSTM for `emulate.py`: an embedding, U units, a softmax over as many symbols.

python benchmarks/mcu/make_model.py build/mcu --symbols 100 --units 50
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from stepcell.export import export

_SPREAD = {"kernel": 1.5, "embeddings": 20.0}  # untrained, it would answer the same whatever it reads


def main() -> None:
    """Write FOLDER/lstm_SYMBOLS_UNITS/model.tflite."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--units", type=int, default=50)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.units)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(options.symbols, 16),
            keras.layers.LSTM(options.units, return_sequences=True),
            keras.layers.Dense(options.symbols, activation="softmax"),
        ]
    )
    for weights in model.trainable_variables:
        weights.assign(weights * _SPREAD.get(weights.path.rpartition("/")[2], 1.0))
    name = f"lstm_{options.symbols}_{options.units}"
    print(*export(model, options.folder / name, name=name, formats=["tflite"], steps=1000).files)


if __name__ == "__main__":
    main()
