"""numpy steps the files that interpreters step, from their bytes alone, and as exactly as float32 allows."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper
from support.models import DATA, FOREIGN, answers_of, path_of

from stepcell.runtime import BackendError, load, read_model_file
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.numpy_backend import open_interpreter, read_calculation, step_program
from stepcell.runtime.interpreters.numpy_engine import Calculation, CalculationError, blas, build_program
from stepcell.runtime.interpreters.numpy_engine.graph import Operation, Source
from stepcell.runtime.interpreters.registry import open_backend

STEPS = 2_000
TOLERANCE = 1e-6  # of probabilities, against float64
FORMATS = ("tflite", "onnx")
MODELS = ("lstm40", "gru", "gru_reset_before", "rnn", "three_lstm", "convolution", "stack", "masked")
ROUNDED = ("convolution", "stack")  # the file has a third and an epsilon as float32


def run(program, state, ids):
    """Step `program` and return what it answered, shape (T, K)."""
    answers = []
    for name, start in initial_state(state).items():
        program.inputs[name][...] = start
    for id in ids.tolist():
        program.inputs["symbol"][0] = id
        program.run()
        answers.append(program.outputs["probabilities"][0].copy())
        for tensor in state:
            program.inputs[tensor.name][...] = program.outputs[tensor.next]
    return np.array(answers)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_numpy_answers_as_float64_does_over_thousands_of_carried_steps(name, format):
    file, exact = read_model_file(path_of(name, format)), answers_of(name)
    assert len(exact.ids) == STEPS
    found = run(step_program(file), file.manifest.state, exact.ids)
    assert np.abs(found[exact.kept] - exact.main).max() <= TOLERANCE
    # In float64 nothing is left but the graph itself: it is the step function, to the last digits.
    kept = exact.kept < 200
    found = run(step_program(file, np.float64), file.manifest.state, exact.ids[:200])
    assert np.abs(found[exact.kept[kept]] - exact.main[kept]).max() <= (1e-8 if name in ROUNDED else 1e-12)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("name", "precision", "rounding"), [("lstm", "float16", 1e-6), ("stack", "float16", 1e-6), ("lstm40", "int8", 0.05)]
)
def test_smaller_weights_answer_as_what_they_stand_for(name, precision, rounding, format):
    file = read_model_file(path_of(name, format, precision))
    ids = np.array([3, 1, 4, 1, 5, 2, 6])
    answers = run(step_program(file), file.manifest.state, ids)
    assert np.abs(answers - run(step_program(file, np.float64), file.manifest.state, ids)).max() < 1e-6
    interpreter = open_backend("litert" if format == "tflite" else "onnxruntime", file)
    for id, answer in zip(ids.tolist(), answers, strict=True):
        interpreter.step(id)  # with int8 it rounds what it multiplies with as well
        assert np.abs(interpreter.answer() - answer).max() < rounding


def test_weights_of_8_bits_are_the_real_numbers_that_an_interpreter_takes_them_for():
    weights = np.random.default_rng(2).normal(0, 1, (64, 32)).astype(np.float32)  # as in support/foreign.py
    content = (FOREIGN / "dense8.tflite").read_bytes()
    found = [c for c in read_calculation(content).constants.values() if c.shape == (32, 64)]
    steps = np.abs(weights).max(axis=0) / 127  # one scale for each output
    assert found[0].dtype == np.float32
    assert 0 < (np.abs(found[0].T - weights) / steps).max() < 0.501


def test_the_sigmoids_of_an_lstm_are_one_call():
    program = step_program(read_model_file(DATA / "memory.tflite"))
    assert [call.func for call in program.calls].count(np.exp) == 2  # theirs, and that of the softmax


def test_a_step_leaves_the_threads_of_other_products_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr(blas, "threads", lambda: 4)
    monkeypatch.setattr(blas, "set_threads", seen.append)
    backend = open_backend("numpy", read_model_file(DATA / "memory.onnx"))
    backend.step(3)
    with pytest.raises(IndexError):
        backend.step(5)
    assert seen == [1, 4, 1, 4]


def test_the_library_that_numpy_multiplies_with_is_found():
    before = blas.threads()
    blas.set_threads(1)
    assert blas.threads() == 1
    blas.set_threads(before)
    assert blas.threads() == before >= 1
    assert "openblas" not in str(np.show_config(mode="dicts")) or not isinstance(blas.threads, type(lambda: 1))


def test_a_softmax_with_another_temperature_is_the_one_of_an_interpreter():
    payload = (FOREIGN / "softmax.tflite").read_bytes()
    compare_with_interpreter(payload, [np.array([[0.1, -0.4, 0.9, 0.3]], np.float32)])


def test_operators_of_tflite_files_made_by_others_do_what_an_interpreter_does():
    payload = (FOREIGN / "operators.tflite").read_bytes()
    program = compare_with_interpreter(payload, np.random.default_rng(5).normal(0, 2, (2, 1, 6)).astype(np.float32))
    assert len(program.outputs) >= 30


def compare_with_interpreter(payload, inputs):
    """Run a TFLite graph on numpy and on ai-edge-litert, compare all outputs and return the program."""
    program, interpreter = open_interpreter("numpy", payload), Interpreter(model_content=payload)
    interpreter.allocate_tensors()
    for details, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], values)
        program.inputs[details["name"]][...] = values
    interpreter.invoke()
    program.run()
    for details in interpreter.get_output_details():
        expected, found = interpreter.get_tensor(details["index"]), program.outputs[details["name"]]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6), details["name"]
    return program


def onnx_of(nodes, inputs, constants):
    """A model of `nodes`, whose outputs it answers with; what it computes on the way is an output too."""
    used = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()
    ]
    made = [helper.make_empty_tensor_value_info(name) for node in nodes for name in node.output if name]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", used, made, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def test_operators_of_onnx_files_made_by_others_do_what_an_interpreter_does():
    node = helper.make_node
    random = np.random.default_rng(6)
    inputs = {
        "x": random.normal(0, 2, (2, 6)).astype(np.float32), "y": random.normal(0, 2, (2, 6)).astype(np.float32),
        "ids": np.array([[1, 0, 2]], np.int64),
    }  # fmt: skip
    constants = {
        "kernel": random.normal(0, 1, (4, 6)).astype(np.float32), "bias": np.arange(4, dtype=np.float32),
        "halves": np.array([2, 4], np.int64), "zero": np.array([0], np.int64), "one": np.array([1], np.int64),
        "shape": np.array([0, -1, 2], np.int64), "wide": np.array([3, 2, 6], np.int64), "low": np.float32(-1),
        "two": np.float32(2), "end": np.array([5], np.int64), "step": np.array([2], np.int64),
    }  # fmt: skip
    tensor = numpy_helper.from_array(np.array([[1.5], [2.5]], np.float32))
    nodes = [
        node("Gemm", ["x", "kernel", "bias"], ["gemm"], transB=1, alpha=0.5, beta=2.0),
        node("Gemm", ["x", "y"], ["gemm2"], transA=1),
        node("Constant", [], ["held"], value=tensor), node("Constant", [], ["number"], value_float=0.25),
        node("Add", ["x", "held"], ["sum"]), node("Mul", ["sum", "number"], ["scaled"]),
        node("Sum", ["x", "y", "sum"], ["sums"]), node("Max", ["x", "y", "sum"], ["most"]),
        node("Split", ["x", "halves"], ["left", "right"], axis=1), node("Identity", ["left"], ["same"]),
        node("Unsqueeze", ["x", "one"], ["taller"]), node("Squeeze", ["taller", "one"], ["flat"]),
        node("Reshape", ["x", "shape"], ["pairs"]), node("Transpose", ["pairs"], ["turned"]),
        node("Flatten", ["turned"], ["flattened"], axis=2), node("Shape", ["x"], ["size"]),
        node("Expand", ["x", "wide"], ["repeated"]), node("Gather", ["kernel", "ids"], ["rows"]),
        node("Gather", ["x", "zero"], ["column"], axis=1), node("Slice", ["x", "one", "end", "one", "step"], ["cut"]),
        node("Elu", ["x"], ["elu"], alpha=0.7), node("LeakyRelu", ["x"], ["leaky"]),
        node("HardSwish", ["x"], ["swish"]),
        node("HardSigmoid", ["x"], ["hard"], alpha=0.3, beta=0.4), node("Clip", ["x", "low"], ["above"]),
        node("Clip", ["x", "", "two"], ["below"]), node("Softmax", ["pairs"], ["along"], axis=1),
        node("LogSoftmax", ["x"], ["logs"]), node("ReduceMean", ["pairs"], ["mean"], axes=[1], keepdims=0),
        node("ReduceMin", ["x"], ["least"]), node("ReduceMax", ["x"], ["largest"], axes=[0]),
        node("ReduceSum", ["x", "one"], ["total"], keepdims=0), node("Reciprocal", ["x"], ["inverse"]),
        node("LessOrEqual", ["x", "y"], ["under"]), node("GreaterOrEqual", ["x", "two"], ["over"]),
        node("Less", ["y", "two"], ["small"]), node("And", ["under", "small"], ["both"]),
        node("Or", ["under", "over"], ["either"]), node("Not", ["either"], ["neither"]),
        node("Where", ["both", "x", "two"], ["chosen"]), node("Cast", ["both"], ["bits"], to=TensorProto.FLOAT),
        node("Abs", ["x"], ["size of x"]), node("Pow", ["size of x", "two"], ["power"]), node("Erf", ["x"], ["erf"]),
        node("Dropout", ["x"], ["kept"]), node("MatMul", ["pairs", "turned3"], ["batched"]),
    ]  # fmt: skip
    nodes.insert(-1, node("Transpose", ["pairs"], ["turned3"], perm=[0, 2, 1]))
    payload = onnx_of(nodes, inputs, constants)
    session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
    program = open_interpreter("numpy", payload)
    for name, values in inputs.items():
        program.inputs[name][...] = values
    program.run()
    names = [output.name for output in session.get_outputs()]
    assert len(names) > 45
    for name, expected in zip(names, session.run(names, inputs), strict=True):
        assert (program.outputs[name].shape, program.outputs[name].dtype) == (expected.shape, expected.dtype), name
        assert np.allclose(program.outputs[name], expected, rtol=1e-5, atol=1e-6), name


def test_every_operator_that_is_not_known_is_named(tmp_path):
    values = {"x": np.ones((1, 4), np.float32)}
    nodes = [helper.make_node(kind, ["x"], [kind], domain=d) for kind, d in (("Sin", ""), ("Abs", ""), ("Mine", "own"))]
    with pytest.raises(CalculationError, match=r"it does not know the operators Sin, own\.Mine$"):
        open_interpreter("numpy", onnx_of(nodes, values, {}))


def calculation(*operations, shape=(1, 3), outputs=("y",), **constants):
    sources = {"x": Source("x", "float32", shape)}
    return Calculation(sources, {name: name for name in outputs}, constants, operations)


def test_an_output_that_is_an_input_is_not_in_its_memory():
    """As in a delay line: the next value of one state is the value of another."""
    program = build_program(calculation(outputs=("x",)), {"x": (1, 3)})
    program.inputs["x"][...] = 7
    program.run()
    program.inputs["x"][...] = 8
    assert program.outputs["x"].tolist() == [[7, 7, 7]]


def test_what_is_the_same_in_every_run_is_computed_once():
    steps = [
        Operation("exp", ("a",), ("b",)),
        Operation("negative", ("b",), ("c",)),
        Operation("add", ("x", "c"), ("y",)),
    ]
    program = build_program(calculation(*steps, a=np.ones((1, 3), np.float32)), {"x": (1, 3)})
    assert len(program.calls) == 1


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (Operation("broadcast", ("x", "n"), ("y",), origin="Expand"), r"more than 67,108,864 numbers \(Expand"),
        (Operation("reshape", ("x", "x"), ("y",), origin="Reshape"), r"the shape of a tensor depends on its input"),
        (Operation("reshape", ("x", "n"), ("y",), origin="Reshape"), r"of shape \(1, 3\) to \(100000, 100000, 3\)"),
        (Operation("concatenate", ("x",), ("y",), {"axis": 2}, "Concat"), "works along dimension 2 of 2"),
        (Operation("split", ("x",), ("y", "z"), {"axis": 1, "parts": 2}, "Split"), r"splits 3 elements into \[1, 1\]"),
        (Operation("matmul", ("x", "x"), ("y",), origin="MatMul"), "its MatMul cannot be computed"),
        (Operation("add", ("x", "w"), ("y",), origin="Add"), "nothing computes the value 'w' that its Add takes"),
        (Operation("unstack", ("x",), ("y",), {"axis": 0, "parts": 9}, "Unpack"), "takes 1 slices for 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_or_would_fill_the_memory_is_refused_before_a_step(operation, problem):
    constants = {"n": np.array([100_000, 100_000, 3], np.int64)}
    with pytest.raises(CalculationError, match=problem):
        build_program(calculation(operation, **constants), {"x": (1, 3)})


def test_a_symbol_beyond_the_table_of_a_file_moves_nothing(tmp_path):
    file = read_model_file(DATA / "memory.onnx")
    backend = open_backend("numpy", file)
    backend.step(3)
    before = backend.read_state()
    with pytest.raises(IndexError):
        backend.step(5)
    assert all(np.array_equal(backend.read_state()[name], before[name]) for name in before)


def test_numpy_says_of_a_file_what_it_cannot_load(monkeypatch):
    monkeypatch.setattr(
        "stepcell.runtime.interpreters.numpy_engine.from_onnx.KNOWN", frozenset(["Add", "Gather", "Split", "Tanh"])
    )
    with pytest.raises(BackendError, match=r"cannot load memory.onnx: it does not know the operators MatMul, Mul,"):
        load(DATA / "memory.onnx", backend="numpy")


def test_a_step_is_a_list_of_records_in_which_activations_have_their_names():
    program = step_program(read_model_file(DATA / "memory.tflite"))
    kinds = [record.kind for record in program.records]
    assert {"logistic", "tanh", "softmax", "matmul"} <= set(kinds)
    assert len(program.calls) > len(kinds)  # a softmax is several calls
    softmax = next(record for record in program.records if record.kind == "softmax")
    assert [part.kind for part in softmax.parts] == ["max", "subtract", "exp", "sum", "divide"]
