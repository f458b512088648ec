"""ONNX graphs that read numbers, made node by node as other programs make them: without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, INT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8


def write(path: Path, nodes, inputs, outputs, constants=None) -> Path:
    """Write a graph; `inputs` and `outputs` are tuples (name, type, shape), a shape of None is not told."""
    sides = [[helper.make_tensor_value_info(*each) for each in side] for side in (inputs, outputs)]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph([helper.make_node(*node[:3], **(node[3] if node[3:] else {})) for node in nodes],
                              "step", *sides, weights)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def lstm(path: Path, *, names=("h_out", "c_out"), units=3, width=4, seed=1) -> Path:
    """An LSTM operator; `names` are those of its next h and its next c."""
    random = np.random.default_rng(seed)
    weights = {
        "W": random.normal(size=(1, 4 * units, width)).astype("f4"),
        "R": random.normal(size=(1, 4 * units, units)).astype("f4"),
        "axis": np.array([1]),
    }
    nodes = [
        ("LSTM", ["x", "W", "R", "", "", "h_in", "c_in"], ["Y", *names], {"hidden_size": units}),
        ("Squeeze", ["Y", "axis"], ["y"]),
    ]
    state = [(name, FLOAT, [1, 1, units]) for name in ("h_in", "c_in")]
    return write(path, nodes, [("x", FLOAT, [1, 1, width]), *state],
                 [("y", FLOAT, None), *((name, FLOAT, [1, 1, units]) for name in names)], weights)  # fmt: skip


def chunks(path: Path) -> Path:
    """A running mean of chunks of any length, whose answer and state have open shapes; the rate divides it."""
    nodes = [
        ("ReduceMean", ["chunk"], ["mean"], {"axes": [1]}),
        ("Cast", ["rate"], ["hertz"], {"to": FLOAT}),
        ("Div", ["mean", "hertz"], ["part"]),
        ("Mul", ["kept", "decay"], ["old"]),
        ("Add", ["old", "part"], ["keptN"]),
        ("Mul", ["keptN", "large"], ["level"]),
        ("ReduceMax", ["chunk"], ["peak"], {"axes": [1]}),
    ]
    inputs = [("chunk", FLOAT, ["batch", "samples"]), ("kept", FLOAT, [1, "batch"]), ("rate", INT64, [])]
    outputs = [("level", FLOAT, ["", ""]), ("keptN", FLOAT, None), ("peak", FLOAT, ["batch", ""])]
    return write(path, nodes, inputs, outputs, {"decay": np.float32(0.5), "large": np.float32(3e4)})


def counter(path: Path) -> Path:
    """A mean since the reset: a sum, and an integer that counts."""
    nodes = [
        ("Add", ["total", "x"], ["total_out"]),
        ("Add", ["n", "one"], ["n_out"]),
        ("Cast", ["n_out"], ["count"], {"to": FLOAT}),
        ("Div", ["total_out", "count"], ["mean"]),
    ]
    state = [("total", FLOAT, [1, 2]), ("n", INT64, [1])]
    outputs = [("mean", FLOAT, [1, 2]), ("total_out", FLOAT, [1, 2]), ("n_out", INT64, [1])]
    return write(path, nodes, [("x", FLOAT, [1, 2]), *state], outputs, {"one": np.array([1])})


def ambiguous(path: Path) -> Path:
    """Two states of one shape that neither names nor operators tell apart."""
    nodes = [
        ("Tanh", ["Add_1"], ["o_1"]),
        ("Add", ["in_a", "in_x"], ["Add_1"]),
        ("Sub", ["in_b", "in_x"], ["o_2"]),
        ("Mul", ["o_1", "o_2"], ["o_3"]),
    ]
    inputs = [(name, FLOAT, [1, 2]) for name in ("in_x", "in_a", "in_b")]
    return write(path, nodes, inputs, [(name, FLOAT, [1, 2]) for name in ("o_1", "o_2", "o_3")])
