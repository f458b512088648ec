"""A model of values and a binary one, made by hand: volts and amps in, watts or "on" out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from stepcell.runtime import Manifest, Vocabulary
from stepcell.runtime.format.manifest import StateTensor
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import Feature

TABLE = "second,volts,amps,watts,on\n"


def _payload(answer: str, nodes: list) -> bytes:
    nodes = [
        helper.make_node("Mul", ["volts", "amps"], ["product"]),
        helper.make_node("Identity", ["product"], ["next_h0"]),
        *nodes,
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("B", 1)) for name in ("volts", "amps", "h0")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("B", 1)) for name in (answer, "next_h0")]
    half = numpy_helper.from_array(np.array([[0.5]], np.float32), "half")
    graph = helper.make_graph(nodes, "power", inputs, outputs, [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def _write(path: Path, payload: bytes, **more) -> Path:
    features = (Feature("volts", (1,)), Feature("amps", (1,)))
    more = {"state": (StateTensor("h0", (1,)),), **more}
    manifest = Manifest(path.stem, Vocabulary.none(), cells=(), features=features, **more)
    path.write_bytes(pack(payload, manifest, "onnx"))
    return path


def write_power(path: Path, **more) -> Path:
    """Write a model that answers with the mean of this product of volts and amps and the one before, 0 at first."""
    nodes = [
        helper.make_node("Add", ["product", "h0"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["values"]),
    ]
    return _write(path, _payload("values", nodes), output="linear", labels=Vocabulary.of_ids(1), **more)


def write_scaled(path: Path) -> Path:
    """Write a model with a static input: it adds up volts x amps, multiplied by the `gain` of a stream."""
    nodes = [
        helper.make_node("Mul", ["gain", "product"], ["scaled"]),
        helper.make_node("Add", ["h0", "scaled"], ["next_h0"]),
        helper.make_node("Identity", ["gain"], ["next_gain"]),
        helper.make_node("Add", ["h0", "scaled"], ["both"]),
        helper.make_node("Concat", ["both", "gain"], ["values"], axis=1),
    ]
    nodes.insert(0, helper.make_node("Mul", ["volts", "amps"], ["product"]))
    names = ("volts", "amps", "h0", "gain")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("B", 1)) for name in names]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("B", size))
        for name, size in (("values", 2), ("next_h0", 1), ("next_gain", 1))
    ]
    graph = helper.make_graph(nodes, "scaled", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    more = {"state": (StateTensor("h0", (1,)), StateTensor("gain", (1,), given=True))}
    return _write(path, model.SerializeToString(), output="linear", labels=Vocabulary.of_ids(2), **more)


def write_switch(path: Path, **more) -> Path:
    """Write a model that answers with the probability that volts x amps is large: a sigmoid of it."""
    nodes = [helper.make_node("Sigmoid", ["product"], ["probabilities"])]
    more = {"labels": Vocabulary(("on",)), **more}
    return _write(path, _payload("probabilities", nodes), output="sigmoid", **more)


def write_table(path: Path, rows: int = 40) -> np.ndarray:
    """Write a table of two sequences; return volts, amps and watts, float64 of shape (rows, 3)."""
    random = np.random.default_rng(5)
    values = np.round(np.column_stack([random.normal(0, 2, (rows, 2)), random.normal(0, 3, rows)]), 2)
    lines = [
        f"{'first' if index < rows // 2 else 'second'},{index},{volts},{amps},{watts},{int(watts > 0)}\n"
        for index, (volts, amps, watts) in enumerate(values.tolist())
    ]
    path.write_text("run," + TABLE + "".join(lines))
    return values
