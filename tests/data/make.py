"""Make the model files that are checked in: python tests/data/make.py [NAME ...]

memory.tflite and memory.onnx are the trained memory model. earlier.tflite, earlier.onnx and pieces.tflite are the same,
written once: before .tflite files had a step in pieces, and while they had. They must stay readable, and the weights
come from the first. The standard models of support/keras_models.py are written with every precision they are exported
in, so that tests/runtime needs no TensorFlow; answers.npz holds what float64 answers to their inputs, and log_mel.npz
what tf.signal makes of samples. foreign/ holds graphs that stepcell did not make. runtime/interpreters/probe.* is the
tiny model that shows whether an interpreter works.

A file stays as it is, to the last byte, where only figures measured on this machine differ, or the order in which
tf2onnx writes nodes that do not depend on each other: that is another one in each process.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

DATA = Path(__file__).parent
ROOT = DATA.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import keras
import numpy as np
import onnx
import tensorflow as tf
from support import foreign, number_graphs
from support.keras_models import STANDARD, Standard
from support.sealed import PAYLOADS, write_model

from stepcell.export import build_step_function, export
from stepcell.export.adopt import adopt
from stepcell.export.parity.golden import golden_of
from stepcell.export.parity.sample_inputs import random_inputs
from stepcell.export.step_function.run import run_numpy
from stepcell.export.tflite.micro import micro_payload
from stepcell.runtime import Manifest, Vocabulary, read_model_file
from stepcell.runtime.format.model_file import ModelFile, pack, unpack
from stepcell.runtime.format.onnx_graph import read_onnx_graph
from stepcell.runtime.format.tensor_specs import Inputs, MicroGraph
from stepcell.runtime.interpreters.base import initial_state

# Of log_mel.npz: frame length, hop, FFT size, bands, lowest and highest frequency, power.
LOG_MEL = {"energies": (400, 160, 512, 40, 20.0, 8000.0, 2.0), "magnitudes": (480, 320, 1024, 20, 60.0, 7000.0, 1.0)}
STEPS = 2000  # of answers.npz; of these each of the first 20 is kept and each 100th later
KEPT = np.array([*range(20), *range(99, STEPS, 100)])


def contents(file: ModelFile) -> tuple:
    """What of a model file is the same whenever it is made."""
    manifest = replace(file.manifest, parity=(), golden=None, fingerprint="")
    if file.format == "tflite":
        return manifest, file.payload
    graph = onnx.load_from_string(file.payload).graph
    nodes = sorted((n.op_type, *(a.SerializeToString() for a in n.attribute)) for n in graph.node)
    return manifest, nodes, sorted(weight.raw_data for weight in graph.initializer)


def write(path: Path, content: bytes) -> None:
    """Write `content` as the model file `path`, unless it holds the same already."""
    if path.exists() and contents(read_model_file(path)) == contents(unpack(content, path.name)):
        return
    path.write_bytes(content)
    print(path.relative_to(ROOT), len(content))


def make_probe() -> None:
    """Write probe.tflite, probe.onnx and probe.tflm.tflite: two symbols, one unit."""
    layers = [
        keras.layers.Embedding(2, 1),
        keras.layers.SimpleRNN(1, return_sequences=True),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.set_weights([np.array(w, "float32") for w in ([[-1], [1]], [[0.7]], [[0.5]], [0.1], [[2, -2]], [0.2, 0])])
    step_function = build_step_function(model)
    manifest = Manifest(
        "probe", Vocabulary.of_ids(2), step_function.state, step_function.cells, golden=golden_of(step_function)
    )
    for format, payload in PAYLOADS.items():
        content = pack(payload(step_function, "float32")[0], manifest, format)
        write(ROOT / f"runtime/interpreters/probe.{format}", content)
    micro = MicroGraph(0, tuple(manifest.graph_inputs()), tuple(manifest.graph_outputs()))
    payload, _ = micro_payload(step_function, "float32", Inputs(np.zeros(1, np.int32)))
    write(ROOT / "runtime/interpreters/probe.tflm.tflite", pack(payload, replace(manifest, micro=micro), "tflite"))


def make_memory() -> None:
    """Write memory.tflite and memory.onnx."""
    earlier = read_model_file(DATA / "earlier.onnx")
    recurrent, table, kernel, bias = (weight.content() for weight in read_onnx_graph(earlier.payload).weights)
    size, units = len(table), len(recurrent)
    layers = [
        keras.layers.Embedding(size, size),
        keras.layers.LSTM(units, return_sequences=True, use_bias=False),
        keras.layers.Dense(size, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.set_weights([np.eye(size), table, recurrent, kernel, bias])  # the table has the bias in it
    random = np.random.default_rng(7)
    options = {
        "vocabulary": earlier.manifest.vocabulary,
        "training": earlier.manifest.training,
        "sample": "".join(random.choice(["30123", "40124"], 400)),
    }
    for name, content in exported("memory", model, **options):
        write(DATA / name, content)


def exported(name: str, model: keras.Model, **options) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each model file that an export of `model` writes."""
    with tempfile.TemporaryDirectory() as folder:
        for path in export(model, folder, name=name, **options).files[:-1]:
            yield path.name.replace("model", name, 1), path.read_bytes()


def make_standard(name: str, standard: Standard) -> None:
    """Write the files of one standard model."""
    model = standard.build()
    if standard.proven:
        for file, content in exported(name, model, steps=300, **standard.options):
            write(DATA / file, content)
        return
    step_function = build_step_function(model)
    for format in PAYLOADS:
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(step_function, Path(folder, f"{name}.{format}"), output=step_function.main.activation)
            write(DATA / path.name, path.read_bytes())


def make_answers() -> None:
    """Write answers.npz: inputs of 2,000 steps, and what float64 answers at the steps `kept`.

    `NAME/symbol` are the ids, `NAME/feature/...` the features, `NAME/main` and `NAME/other/...` the outputs.
    """
    arrays: dict[str, np.ndarray] = {"kept": KEPT}
    for name, standard in STANDARD.items():
        if not standard.proven:
            continue
        options = {key: standard.options[key] for key in ("values",) if key in standard.options}
        step_function = build_step_function(standard.build(), **options)
        state = read_model_file(DATA / f"{name}.onnx").manifest.state
        inputs = random_inputs(step_function.interface, STEPS, 1)
        if any(feature.ids is None for feature in step_function.features):
            inputs = inputs[: len(KEPT)]  # numbers take their room
        (run,) = run_numpy(step_function, inputs, [initial_state(state)])
        kept = KEPT[len(inputs) > KEPT]
        arrays[f"{name}/symbol"] = inputs.ids.astype(np.uint8)
        arrays.update({f"{name}/feature/{key}": array for key, array in inputs.features.items()})
        arrays[f"{name}/main"] = run.probabilities[kept]
        arrays.update({f"{name}/other/{key}": array[kept] for key, array in run.extra_outputs.items()})
    np.savez_compressed(DATA / "answers.npz", **arrays)


def make_log_mel() -> None:
    """Write log_mel.npz: samples, and the log-mel frames that tf.signal makes of them in float64."""
    random, steps = np.random.default_rng(1), np.arange(2_400)
    sound = 0.3 * np.sin(0.05 * steps * (1 + steps / 4_000)) + 0.1 * random.standard_normal(len(steps))
    samples = np.round(sound * 2**14).astype(np.int16)
    arrays = {"samples": samples}
    for name, (length, hop, size, bands, low, high, power) in LOG_MEL.items():
        spectrum = tf.signal.stft(tf.constant(samples / 2**15), length, hop, size)
        matrix = tf.signal.linear_to_mel_weight_matrix(bands, size // 2 + 1, 16_000, low, high, tf.float64)
        energies = tf.abs(spectrum) ** power @ matrix
        arrays[name] = np.float32(tf.math.log(tf.maximum(energies, tf.constant(1e-6, tf.float64))))
    np.savez_compressed(DATA / "log_mel.npz", **arrays)


def make_personal() -> None:
    """Write personal.tflite and personal.onnx: symbols, and a static input of three numbers, `user`."""
    symbol, user = keras.Input((None,), dtype="int32", name="symbol"), keras.Input((3,), name="user")
    x = keras.layers.Embedding(5, 4)(symbol) + keras.layers.Reshape((1, 4))(keras.layers.Dense(4)(user))
    x = keras.layers.LSTM(6, return_sequences=True)(x)
    model = keras.Model([symbol, user], keras.layers.Dense(5, activation="softmax")(x))
    random = np.random.default_rng(3)
    model.set_weights([random.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    for name, content in exported("personal", model, steps=300):
        write(DATA / name, content)


def make_level() -> None:
    """Write level.onnx: an adopted graph that reads chunks of samples and a rate."""
    with tempfile.TemporaryDirectory() as temporary:
        source = number_graphs.chunks(Path(temporary, "level.onnx"))
        given = {"features": ["chunk"], "constants": {"rate": 10}, "shapes": {"chunk": (1, 5)}}
        adopt(source, DATA / "level.onnx", output="level", values=True, **given)


def make_micro() -> None:
    """Write lstm40.int8.tflm.tflite and sensor.tflm.tflite, for TensorFlow Lite Micro."""
    for name, quantize in (("lstm40", ["int8"]), ("sensor", [])):
        standard = STANDARD[name]
        options = {**standard.options, "quantize": quantize, "allow_inaccurate": quantize}
        for file, content in exported(name, standard.build(), steps=300, target="tflm", **options):
            if file.endswith(".tflite") and file != "lstm40.tflm.tflite":
                write(DATA / file, content)


def make_foreign() -> None:
    """Write foreign/: graphs with names of their own, and operators that no step function of stepcell has."""
    folder = DATA / "foreign"
    folder.mkdir(exist_ok=True)
    foreign.positional_tflite(folder / "positional.tflite")
    foreign.helper_onnx(folder / "helper.onnx")
    if not (folder / "converted.onnx").exists():  # its nodes are in another order each time
        foreign.converted_onnx(folder / "converted.onnx")
    with tempfile.TemporaryDirectory() as temporary:
        foreign.signed_tflite(folder / "signed.tflite", temporary)
    with tempfile.TemporaryDirectory() as temporary:
        foreign.open_tflite(folder / "open.tflite", temporary)
    foreign.operators_tflite(folder / "operators.tflite")
    foreign.softmax_tflite(folder / "softmax.tflite")
    foreign.dense8_tflite(folder / "dense8.tflite")
    states = ["h=Identity_1", "c=Identity_2"]
    for source, name, options in (
        ("positional.tflite", "adopted.tflite", {"states": states, "vocabulary": Vocabulary(tuple("abcdef"))}),
        ("helper.onnx", "adopted.onnx", {"vocabulary": Vocabulary(tuple("abcdef"))}),
    ):
        with tempfile.TemporaryDirectory() as temporary:
            adopt(folder / source, Path(temporary, name), **options)
            write(DATA / name, Path(temporary, name).read_bytes())


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    named = sys.argv[1:]
    for name, standard in STANDARD.items():
        if not named or name in named:
            make_standard(name, standard)
    if not named:
        make_probe()
        make_memory()
        make_answers()
        make_foreign()
        make_level()
    if not named or "micro" in named:
        make_micro()
    if not named or "personal" in named:
        make_personal()
    if not named or "log_mel" in named:
        make_log_mel()
