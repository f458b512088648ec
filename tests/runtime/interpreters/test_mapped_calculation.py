"""Steps of adopted graphs, as calculations with the inputs and outputs of a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.models import ADOPTED, DATA

from stepcell.runtime import Feature, Manifest, Vocabulary, load, read_model_file
from stepcell.runtime.format.io_mapping import IOMapping, TensorSpec
from stepcell.runtime.interpreters.mapped_backend import to_tensor
from stepcell.runtime.interpreters.mapped_calculation import with_step_around
from stepcell.runtime.interpreters.numpy_backend import step_program
from stepcell.runtime.interpreters.numpy_engine import CalculationError, build_program
from stepcell.runtime.interpreters.numpy_engine.graph import Calculation, Operation, Source


def stepped(program, manifest, ids):
    answers = []
    for id in ids:
        program.inputs["symbol"][...] = id
        program.run()
        answers.append(program.outputs[manifest.answer][0].copy())
        for tensor in manifest.state:
            program.inputs[tensor.name][...] = program.outputs[tensor.next]
    return np.array(answers)


@pytest.mark.parametrize("path", ADOPTED)
def test_an_adopted_graph_steps_by_the_names_of_its_manifest(path):
    file = read_model_file(path)
    ids = np.random.default_rng(2).integers(0, len(file.manifest.vocabulary), 30)
    right = load(path, backend="numpy").stream().run([file.manifest.vocabulary.symbols[id] for id in ids])
    assert np.abs(stepped(step_program(file), file.manifest, ids) - right).max() < 1e-6


def test_a_symbol_may_be_one_hot_and_a_state_may_count():
    file = read_model_file(ADOPTED[0])
    mapping, size = file.manifest.io_mapping, len(file.manifest.vocabulary)
    symbol = replace(mapping.symbol, dtype="float32", shape=(1, size))
    state = file.manifest.state[0]
    source, target = (replace(port, dtype="int32", shape=(1, 5)) for port in mapping.state[state.name])
    manifest = replace(
        file.manifest, state=(replace(state, dtype="int32"),),
        io_mapping=replace(mapping, symbol=symbol, state={state.name: (source, target)}),
    )  # fmt: skip
    inner = Calculation(
        {symbol.name: Source("x", "float32", (1, size)), source.name: Source("n", "int32", (1, 5))},
        {mapping.output.name: "x", target.name: "more"},
        {"one": np.ones((1, 5), np.int32)},
        (Operation("add", ("n", "one"), ("more",), {}, "ADD"),),
    )
    around = with_step_around(inner, replace(file, manifest=manifest))
    assert {name: (each.dtype, each.shape) for name, each in around.inputs.items()} == {
        "symbol": ("int32", (1,)), state.name: ("float32", (1, 5)),
    }  # fmt: skip
    program = build_program(around, {name: each.shape for name, each in around.inputs.items()})
    assert stepped(program, manifest, [3, 0]).argmax(axis=1).tolist() == [3, 0]
    assert program.outputs[state.next].dtype == np.float32
    assert (program.outputs[state.next] == 2).all()


@pytest.mark.parametrize("dtype", ["int32", "int64", "int8", "uint8"])
def test_an_integer_input_takes_numbers_as_to_tensor_rounds_them(dtype):
    file, port = read_model_file(DATA / "level.onnx"), TensorSpec("x", dtype, (1, 6))
    mapping = IOMapping("", None, TensorSpec("y", "float32", (1, 6)), logits=False, state={}, features={"x": port})
    manifest = Manifest(
        "m",
        Vocabulary.none(),
        (),
        (),
        "linear",
        Vocabulary.of_ids(6),
        features=(Feature("x", (6,)),),
        io_mapping=mapping,
    )
    cast = Operation("cast", ("i",), ("f",), {"to": "float32"}, "CAST")
    inner = Calculation({"x": Source("i", dtype, (1, 6))}, {"y": "f"}, {}, (cast,))
    program = build_program(with_step_around(inner, replace(file, manifest=manifest)), {"x": (1, 6)})
    numbers = np.array([2.5, -2.5, 0.49, 130.0, -130.0, 300.0], np.float32)
    program.inputs["x"][...] = numbers
    program.run()
    assert np.array_equal(program.outputs[manifest.answer], to_tensor(numbers, port))


def test_numbers_of_few_bits_are_refused_by_the_names_of_their_tensors():
    file = read_model_file(ADOPTED[0])
    mapping = file.manifest.io_mapping
    output = replace(mapping.output, scale=0.5)
    file = replace(file, manifest=replace(file.manifest, io_mapping=replace(mapping, output=output)))
    with pytest.raises(CalculationError, match=rf"rounded to few bits.*{output.name} \(float32\)"):
        step_program(file)


def test_an_input_of_which_nothing_is_known_is_named():
    file = read_model_file(ADOPTED[0])
    mapping = file.manifest.io_mapping
    fewer = replace(mapping, state={"h": mapping.state["h"]})
    kept = tuple(tensor for tensor in file.manifest.state if tensor.name == "h")
    changed = replace(file, manifest=replace(file.manifest, io_mapping=fewer, state=kept))
    with pytest.raises(CalculationError, match="nothing is known of its inputs c"):
        step_program(changed)
