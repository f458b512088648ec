"""Graphs are read from the bytes of a file: all that is in them, and nothing but an error where they are damaged."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper
from support.models import DATA

from stepcell.runtime import read_model_file
from stepcell.runtime.format.flatbuffer import FlatbufferError, Table, root_table
from stepcell.runtime.format.onnx_graph import OnnxGraphError, has_external_data, read_onnx_graph
from stepcell.runtime.format.tflite_graph import HIGHEST_VERSIONS, NAMES, operator_name, read_tflite_graph, runs

TFLITE = read_model_file(DATA / "pieces.tflite").payload
ONNX = read_model_file(DATA / "memory.onnx").payload


def touch_everything(graph):
    """Read what is only read on demand."""
    for subgraph in graph.subgraphs:
        for tensor in subgraph.tensors:
            graph.constant(tensor)
        for operator in subgraph.operators:
            if operator.options is not None:
                operator.options.number(0, "b")


def test_a_tflite_file_is_read_as_the_package_of_its_schema_reads_it():
    graph = read_tflite_graph(TFLITE)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(TFLITE, 0))
    assert len(graph.subgraphs) == len(model.subgraphs) >= 2
    for read, expected in zip(graph.subgraphs, model.subgraphs, strict=True):
        assert (list(read.inputs), list(read.outputs)) == (list(expected.inputs), list(expected.outputs))
        for tensor, other in zip(read.tensors, expected.tensors, strict=True):
            assert tensor.name == (b"" if other.name is None else other.name).decode()
            assert getattr(schema.TensorType, tensor.type.upper()) == other.type
            assert list(tensor.shape) == ([] if other.shape is None else list(other.shape))
            assert tensor.buffer == other.buffer
        for operator, other in zip(read.operators, expected.operators, strict=True):
            code = model.operatorCodes[other.opcodeIndex]
            assert getattr(schema.BuiltinOperator, operator.name) == max(code.builtinCode, code.deprecatedBuiltinCode)
            assert operator.version == code.version
            assert list(operator.inputs) == list(other.inputs)
            assert list(operator.outputs) == list(other.outputs)
    for buffer, other in zip(graph.buffers, model.buffers, strict=True):
        assert bytes(buffer) == (b"" if other.data is None else bytes(other.data))
    signatures = {
        each.signatureKey.decode(): {entry.name.decode(): entry.tensorIndex for entry in each.inputs}
        for each in model.signatureDefs
    }
    assert {each.name: each.inputs for each in graph.signatures} == signatures


def test_the_weights_of_a_tflite_file_can_be_read():
    graph = read_tflite_graph(TFLITE)
    constants = [graph.constant(tensor) for tensor in graph.subgraphs[0].tensors]
    shapes = {array.shape for array in constants if array is not None}
    assert {(5, 80), (80, 20), (5, 20)} <= shapes  # the folded lookup, the recurrent kernel and the dense kernel
    assert all(np.isfinite(array).all() for array in constants if array is not None)


def test_the_options_of_an_operator_can_be_read():
    graph = read_tflite_graph(TFLITE)
    split = next(operator for operator in graph.subgraphs[0].operators if operator.name == "SPLIT")
    assert split.options.number(0, "i") == 4  # SplitOptions.num_splits: the four gates
    assert split.options.number(7, "i", default=-3) == -3


def test_every_operator_has_the_number_that_the_schema_gives_it():
    numbers = {name: number for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    assert {name: number for number, name in enumerate(NAMES)} == numbers
    assert operator_name(100_000) == "operator 100000"


def test_the_highest_versions_are_those_at_which_the_interpreters_stop():
    highest = HIGHEST_VERSIONS["tflite"]
    known = {"FULLY_CONNECTED": 10, "GATHER": 6, "ADD": 5, "MUL": 7, "SPLIT": 4, "STRIDED_SLICE": 8, "WHILE": 1}
    assert {name: highest[name] for name in known} == known
    assert runs("litert", "FULLY_CONNECTED", 12)
    assert not runs("tflite", "FULLY_CONNECTED", 12)
    assert not runs("tflite", "BROADCAST_TO", 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_tflite_file_gives_a_clean_error_or_a_graph(seed):
    draw = random.Random(seed)
    # Where the structure is, that is: nearly all of it stands behind the weights.
    places = range(len(TFLITE)) if seed % 2 else [*range(64), *range(len(TFLITE) - 6000, len(TFLITE))]
    outcomes = {True: 0, False: 0}
    for _ in range(150):
        content = bytearray(TFLITE)
        for _ in range(draw.choice((1, 1, 4, 32))):
            content[draw.choice(places)] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        if draw.random() < 0.2:
            del content[draw.randrange(len(content)) :]
        try:
            touch_everything(read_tflite_graph(bytes(content)))
            outcomes[True] += 1
        except FlatbufferError:
            outcomes[False] += 1
    assert outcomes[False] > 20  # the damage really reached the structure


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_onnx_file_gives_a_clean_error_or_a_graph(seed):
    draw = random.Random(seed)
    errors = 0
    for _ in range(200):
        content = bytearray(ONNX)
        for _ in range(draw.choice((1, 4, 32))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.2:
            del content[draw.randrange(len(content)) :]
        try:
            read_onnx_graph(bytes(content))
        except OnnxGraphError:
            errors += 1
    assert errors > 20


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\xffTFL3", b"\x08\0\0\0TFL3\x04\0\0\0"]
)
def test_a_few_bytes_are_no_tflite_file(content):
    with pytest.raises(FlatbufferError):
        read_tflite_graph(content)


def test_a_table_that_names_itself_is_read_once():
    content = bytearray(b"\x10\0\0\0TFL3" + b"\x06\0\x08\0\x04\0\0\0" + b"\x08\0\0\0\0\0\0\0")
    root = root_table(bytes(content), b"TFL3")
    assert root.table(0) == Table(bytes(content), 20)
    assert root.table(5) is None
    assert root.tables(5) == ()
    assert root.numbers(5, "i") == ()
    assert root.text(5) == ""


def test_an_onnx_file_is_read_as_the_onnx_package_reads_it():
    graph, model = read_onnx_graph(ONNX), onnx.load_from_string(ONNX)
    assert (graph.ir_version, graph.opsets) == (8, {"": 17})
    for read, expected in ((graph.inputs, model.graph.input), (graph.outputs, model.graph.output)):
        assert [value.name for value in read] == [value.name for value in expected]
        for value, other in zip(read, expected, strict=True):
            dimensions = other.type.tensor_type.shape.dim
            assert value.shape == tuple(d.dim_param or d.dim_value for d in dimensions)
            assert value.type == str(helper.tensor_dtype_to_np_dtype(other.type.tensor_type.elem_type))
    assert graph.operators == {("", node.op_type) for node in model.graph.node}
    assert {(w.name, w.shape) for w in graph.weights} == {(w.name, tuple(w.dims)) for w in model.graph.initializer}
    assert not graph.external


def test_operators_in_branches_and_weights_in_other_files_are_found():
    branch = helper.make_graph(
        [helper.make_node("Erf", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph([node], "g", inputs, outputs))
    weight = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[3])
    weight.data_location = TensorProto.EXTERNAL
    graph = read_onnx_graph(model.SerializeToString())
    assert graph.operators == {("", "If"), ("", "Erf")}
    assert graph.inputs[1].shape == ("n", 3)
    assert graph.inputs[0].type == "bool"
    assert graph.outputs[0].shape is None
    assert graph.external


@pytest.mark.parametrize("where", ["weights", "attribute", "list", "branch", "sparse", "function"])
def test_constants_in_other_files_are_found_wherever_they_stand(where):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    node, attribute = NodeProto(op_type="Constant"), AttributeProto(name="value", type=AttributeProto.TENSOR)
    node.attribute.append(attribute)
    model = helper.make_model(GraphProto(name="g"))
    if where == "weights":
        model.graph.initializer.append(tensor)
    elif where == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif where == "function":
        node.attribute[0].t.CopyFrom(tensor)
        model.functions.add(name="f").node.append(node)
    elif where == "branch":
        node.attribute[0].g.initializer.append(tensor)
        model.graph.node.append(node)
    else:
        node.attribute[0].tensors.append(tensor) if where == "list" else node.attribute[0].t.CopyFrom(tensor)
        model.graph.node.append(node)
    assert has_external_data(model.SerializeToString())
    assert read_onnx_graph(model.SerializeToString()).external
    del tensor.external_data[:]
    assert not has_external_data(helper.make_model(GraphProto(name="location")).SerializeToString())
