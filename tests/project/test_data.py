"""The checked-in models are what the table of them says, and answer as float64 does on every interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import ADOPTED, DATA, FOREIGN, FOREIGN_FILES, STANDARD, answers_of, path_of

from stepcell.runtime import load, read_model_file

BACKENDS = {"tflite": ("litert", "tflite", "numpy"), "onnx": ("onnxruntime", "numpy")}
MODELS = sorted({path.name for path in DATA.iterdir() if path.suffix[1:] in BACKENDS})
OTHERS = ("memory", "earlier", "pieces", "adopted", "level", "personal")
PROVEN = [name for name in STANDARD if name not in ("latch", "biased") and not name.startswith("growing")]


def test_every_file_is_in_the_table_and_all_are_small():
    assert {name.split(".")[0] for name in MODELS} == {*STANDARD, *OTHERS}
    assert all(path_of(name, format).exists() for name in STANDARD for format in BACKENDS)
    assert {path.name for path in FOREIGN.iterdir()} == set(FOREIGN_FILES)
    assert all(path.exists() for path in ADOPTED)
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 1_350_000


@pytest.mark.parametrize("name", MODELS)
def test_every_interpreter_loads_every_file_and_gets_its_golden_answers(name):
    for backend in BACKENDS[name.rsplit(".", 1)[1]]:
        if not (backend == "numpy" and read_model_file(DATA / name).manifest.sequence):
            load(DATA / name, backend=backend)


@pytest.mark.parametrize(("name", "format"), [(name, format) for name in PROVEN for format in BACKENDS])
def test_standard_models_answer_as_float64_does(name, format):
    exact = answers_of(name)
    steps = len(exact.ids) if len(exact.ids) < 1000 else 20  # without a gap
    kept = exact.kept < steps
    for backend in BACKENDS[format]:
        model = load(path_of(name, format), backend=backend)
        stream, main, others = model.stream(), [], {key: [] for key in exact.others}
        for step in range(steps):
            symbol = model.vocabulary.decode(int(exact.ids[step])) if len(model.vocabulary) else None
            prediction = stream.step(symbol, {key: array[step] for key, array in exact.features.items()} or None)
            main.append(prediction.values if model.manifest.output == "linear" else prediction.probabilities)
            for key, rows in others.items():
                output = prediction.outputs[key]
                rows.append(output.values if key in ("gap", "value") else output.probabilities)
        assert np.abs(np.array(main)[exact.kept[kept]] - exact.main[kept]).max() < 1e-5
        for key, rows in others.items():
            assert np.abs(np.array(rows)[exact.kept[kept]] - exact.others[key][kept]).max() < 1e-5
