"""From a step function to the payload of a .onnx file of whole sequences, for catching up on long histories.

The recurrent layers become the operators that ONNX has for them (https://onnx.ai/onnx/operators/onnx__LSTM.html, GRU,
RNN), which onnxruntime computes a few times faster than one step after the other. All that lies between them works on
each step by itself, so its graph is made of the step rules, with the steps of all streams for a batch.

Gate orders: Keras i, f, c, o and z, r, h; ONNX i, o, f, c and z, r, h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import NotSteppableError
from ...runtime.format.manifest import Cell
from ...runtime.format.tensor_specs import EVERY_STEP
from ..layers import LayerStep, Lookup
from ..ops import Value, Weights
from ..ops.precision import FLOAT32
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction
from ..step_function.plan import Node, plan, read_source_value
from .convert import convert_function, finish_model
from .weights import add_weight, set_nodes

Add: TypeAlias = Callable[[str, AnyArray], str]  # adds a weight to the graph and returns its name
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
# Activation of Keras -> that of ONNX, with its alpha and beta.
SEQUENCE_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tanh": ("Tanh", ()), "sigmoid": ("Sigmoid", ()), "relu": ("Relu", ()), "softsign": ("Softsign", ()),
    "softplus": ("Softplus", ()), "linear": ("Affine", (1.0, 0.0)), "hard_sigmoid": ("HardSigmoid", (1 / 6, 0.5)),
    "hard_sigmoid_keras2": ("HardSigmoid", (0.2, 0.5)), "elu": ("Elu", (1.0,)), "leaky_relu": ("LeakyRelu", (0.2,)),
}  # fmt: skip
_IDS, _ANSWER = "ids", "answer"


def check_sequence_graph(step_function: StepFunction, name: str) -> None:
    """Make sure that the model called `name` can be written as a graph of whole sequences.

    Raises:
        NotSteppableError: It cannot; every layer in the way is named.
    """
    window = step_function.window
    problems = [] if window is None else [f"  - each answer depends on a window of {window.length} time steps"]
    problems += [f"  - it reads {feature.describe()} beside its symbols" for feature in step_function.features]
    problems += [
        f"  - it reads {each.describe()} once for each stream" for each in step_function.interface.static.values()
    ]
    problems += [f"  - it answers with {other.name} beside its main output" for other in step_function.extra_outputs]
    if step_function.main.activation == "linear":
        problems.append("  - it answers with values")
    for call, found in step_function.calls:
        if isinstance(found, Lookup):
            continue
        reasons = [reason for step in found for reason in _reasons(step, masked=call.mask is not None)]
        problems += [f"  - {call.layer.name} ({type(call.layer).__name__}): {why}" for why in dict.fromkeys(reasons)]
    if problems:
        listed = "\n".join(problems)
        raise NotSteppableError(
            f"The model {name!r} has no graph of whole sequences:\n{listed}\n"
            "Leave out --sequence; its other files absorb histories step by step. Nothing was written."
        )


def _reasons(step: LayerStep, *, masked: bool) -> Iterable[str]:
    if step.answers != EVERY_STEP:
        yield "it does not answer at each step"
    if not step.state:
        return
    if step.recurrent is None or step.cell is None:
        yield "it has a state, and ONNX has no operator for whole sequences of it"
        return
    if masked:
        yield "it gets masked steps, in which the operators of ONNX do not hold the state"
    for activation in _activations(step.cell):
        if activation not in SEQUENCE_ACTIVATIONS:
            known = ", ".join(SEQUENCE_ACTIVATIONS)
            yield f"its activation {activation!r} is none that the operators of ONNX have: {known}"


def sequence_payload(step_function: StepFunction, quantization: str = FLOAT32) -> tuple[bytes, dict[str, int]]:
    """Convert `step_function`, one that `check_sequence_graph` lets pass, to an ONNX graph of whole sequences.

    Its inputs are `symbols`, int32 (T, B), and the state, its outputs `probabilities` (T, B, K) and the next state.

    Returns:
        The payload, and the opset and IR version it requires.
    """
    assert quantization == FLOAT32, "sequence graphs have the weights of Keras"
    steps = plan(step_function.graph, step_function.calls, step_function.interface.tables, {}, fold=False).nodes
    recurrent = [node for node in steps if node.layer.recurrent is not None]
    model = convert_function(_between(step_function, steps, len(recurrent)), "sequence")
    graph = model.graph
    add = partial(add_weight, graph)
    minus_one, first = add("rows", np.array([-1])), add("first", np.array([0]))
    nodes = [
        helper.make_node("Reshape", ["symbols", minus_one], [_IDS]),
        helper.make_node("Shape", ["symbols"], ["shape"]),  # T, B
    ]
    for number, node in enumerate(recurrent):
        nodes += _recurrent_nodes(number, node, add, first)
    nodes += _as_sequence(_ANSWER, "probabilities", step_function.outputs, add)
    set_nodes(graph, _sorted([*graph.node, *nodes]))
    _set_ports(graph, step_function)
    return finish_model(model)


def _between(step_function: StepFunction, steps: Sequence[Node], recurrent: int) -> Any:
    """Return the TensorFlow function of all that lies between the recurrent layers, for N steps at once.

    It takes `ids` (N,) and the output of each recurrent layer, `y0`, `y1`, ... (N, U), and returns the input of each of
    them, `x0`, `x1`, ... (N, M), and the answer (N, K).
    """
    arithmetic = _OneHots()
    units = [node.layer.cell.units for node in steps if node.layer.recurrent is not None and node.layer.cell]

    def between(ids: Any, *made: Any) -> dict[str, Any]:
        assert step_function.interface.symbol is not None, "a model without symbols was refused"
        values: dict[int, Value] = {step_function.interface.symbol: ids}
        read: dict[str, Value] = {}
        for node in steps:
            if node.layer.recurrent is None:
                values[node.output], _ = node.run(arithmetic, values, {})
            else:
                number = len(read)
                read[f"x{number}"] = read_source_value(arithmetic, node.sources[0], values)
                values[node.output] = made[number]
        return {_ANSWER: step_function.answer(arithmetic, values), **read}

    specs = [tf.TensorSpec([None, size], tf.float32, name=f"y{number}") for number, size in enumerate(units)]
    assert len(specs) == recurrent, "a recurrent layer has a cell"
    return tf.function(between, input_signature=[tf.TensorSpec([None], tf.int32, name=_IDS), *specs], autograph=False)


class _OneHots(TensorFlowOps):
    """Makes one-hot vectors where they would be looked up in an identity matrix, which would stand in the file."""

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        if table.ndim == 2 and table.shape[0] == table.shape[1] and np.array_equal(table, np.eye(len(table))):
            return tf.one_hot(ids, len(table))
        return super().gather(table, ids)


def _recurrent_nodes(number: int, node: Node, add: Add, first: str) -> list[Any]:
    """Return the nodes that make `y<number>` and the next state of `x<number>` and the state."""
    step = node.layer
    cell, kernel, recurrent = step.cell, step.kernel, step.recurrent
    assert cell is not None, "recurrent layers have a cell"
    assert kernel is not None, "and a kernel"
    assert recurrent is not None, "and a recurrent one"
    units, state = cell.units, list(node.names)  # local names, h first
    biases = [np.zeros(kernel.shape[1], np.float32) if bias is None else bias for bias in (step.bias, recurrent.bias)]
    constants = {
        "kernel": _in_onnx_order(kernel, cell)[None],
        "recurrent": _in_onnx_order(recurrent.kernel, cell)[None],
        "bias": np.concatenate([_in_onnx_order(bias, cell) for bias in biases])[None],
    }
    fed = [add(f"{name}{number}", values) for name, values in constants.items()]
    if step.bias is None and recurrent.bias is None:
        fed[2] = ""
    names = [SEQUENCE_ACTIVATIONS[name] for name in _activations(cell)]
    options: dict[str, Any] = {"hidden_size": units, "activations": [name for name, _ in names]}
    for position, attribute in enumerate(("activation_alpha", "activation_beta")):
        values = [given[position] for _, given in names if len(given) > position]
        options |= {attribute: values} if values else {}
    if cell.kind == "gru":
        options["linear_before_reset"] = int(bool(cell.reset_after))
    before, after = [f"{local}{number}_before" for local in state], [f"{local}{number}_after" for local in state]
    made = f"y{number}_all"  # (T, 1, B, U): one direction
    return [
        *_as_sequence(f"x{number}", f"x{number}_steps", kernel.shape[0], add),
        *(
            helper.make_node("Unsqueeze", [node.names[local], first], [name])
            for local, name in zip(state, before, strict=True)
        ),
        helper.make_node(_OPERATORS[cell.kind], [f"x{number}_steps", *fed, "", *before], [made, *after], **options),
        helper.make_node("Reshape", [made, add(f"units{number}", np.array([-1, units]))], [f"y{number}"]),
        *(
            helper.make_node("Squeeze", [name, first], [f"next_{node.names[local]}"])
            for local, name in zip(state, after, strict=True)
        ),
    ]


def _activations(cell: Cell) -> list[str]:
    """Return the activations of `cell` in the order of ONNX."""
    gate = [] if cell.recurrent_activation is None else [cell.recurrent_activation]
    return [*gate, cell.activation, *([cell.activation] if cell.kind == "lstm" else [])]


def _in_onnx_order(weights: Weights, cell: Cell) -> Weights:
    """Return weights of shape (..., G U) with the gates in the order of ONNX, as (G U, ...)."""
    gates = np.split(weights, {"lstm": 4, "gru": 3, "rnn": 1}[cell.kind], axis=-1)
    ordered = [gates[0], gates[3], gates[1], gates[2]] if cell.kind == "lstm" else gates
    return np.ascontiguousarray(np.concatenate(ordered, axis=-1).T)


def _as_sequence(name: str, target: str, size: int, add: Add) -> list[Any]:
    """Return the nodes that give the rows `name`, (T B, size), the shape (T, B, size)."""
    width = add(f"{target}_width", np.array([size]))
    return [
        helper.make_node("Concat", ["shape", width], [f"{target}_shape"], axis=0),
        helper.make_node("Reshape", [name, f"{target}_shape"], [target]),
    ]


def _sorted(nodes: list[Any]) -> list[Any]:
    """Return `nodes`, each after those whose values it reads."""
    made = {name for node in nodes for name in node.output}
    known: set[str] = set()
    ordered: list[Any] = []
    while nodes:
        ready = [node for node in nodes if all(name in known or name not in made for name in node.input)]
        assert ready, "a recurrent layer reads nothing that comes after it"
        ordered += ready
        known.update(name for node in ready for name in node.output)
        nodes = [node for node in nodes if not any(node is other for other in ready)]
    return ordered


def _set_ports(graph: Any, step_function: StepFunction) -> None:
    """Give the graph the inputs and outputs of the file format."""
    float32, int32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
    state = [(tensor.name, tensor.next, ["B", *tensor.shape]) for tensor in step_function.state]
    inputs = [helper.make_tensor_value_info("symbols", int32, ["T", "B"])]
    inputs += [helper.make_tensor_value_info(name, float32, shape) for name, _, shape in state]
    outputs = [helper.make_tensor_value_info("probabilities", float32, ["T", "B", step_function.outputs])]
    outputs += [helper.make_tensor_value_info(name, float32, shape) for _, name, shape in state]
    for ports, wanted in ((graph.input, inputs), (graph.output, outputs)):
        del ports[:]
        ports.extend(wanted)
