"""Lift hidden state: the variables of a TFLite graph become inputs and outputs.

In the order of the operators, the first READ_VARIABLE of a variable becomes an input, a later one the value that was
assigned last, and the last ASSIGN_VARIABLE an output. The constants that the initialiser assigns are the start values.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import AdoptionError
from ...runtime.format.flatbuffer import FlatbufferError
from ...runtime.format.tflite_graph import VARIABLE_OPERATORS, operator_name, read_tflite_graph
from ..tflite.aligned_buffer import aligned_buffer

_IDENTIFIER = b"TFL3"
_HANDLE, _READ, _ASSIGN = VARIABLE_OPERATORS
_INITIALISE = "CALL_ONCE"
_DTYPES = {
    "FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "BOOL": np.bool_,
}  # fmt: skip
Variable = tuple[str, str]  # container and shared name


@dataclass(frozen=True)
class LiftedState:
    """One variable that has become an input and an output.

    Attributes:
        name: The name of the input; "next_NAME" is that of the output.
        start: Its value after a reset, as the graph has it.
        exposed: The name of the output of `Lifted.exposed` that shows its next value; None: it cannot be shown there.
    """

    name: str
    start: AnyArray
    exposed: str | None


@dataclass(frozen=True)
class Lifted:
    """A graph without hidden state.

    Attributes:
        payload: Its bytes.
        states: What was lifted, in the order of the operators.
        exposed: The original graph, whose variables show their next values as further outputs: to compare with.
    """

    payload: bytes
    states: tuple[LiftedState, ...]
    exposed: bytes


def lift(payload: bytes, name: str) -> Lifted:
    """Return the TFLite graph `payload` with its variables as inputs and outputs.

    A variable that is only read becomes a constant, one that is written before it is read vanishes.

    Args:
        payload: The bytes of the file.
        name: Its name, for messages.

    Raises:
        AdoptionError: It is damaged, has no variables, or they cannot be lifted; the message says why.
    """
    try:
        graph = read_tflite_graph(payload)
    except FlatbufferError as error:
        raise AdoptionError(f"{name} is damaged: {error}. Copy it again.") from error
    if not graph.used_operators.intersection(VARIABLE_OPERATORS):
        raise AdoptionError(f"{name} has no variables to lift: leave out --lift. Nothing was written.")
    try:
        return _Lifter(payload).lifted()
    except _CannotLiftError as error:
        raise AdoptionError(f"The state of {name} cannot be lifted: {error}. Nothing was written.") from error
    except Exception as error:  # of the generated code, which checks nothing
        raise AdoptionError(
            f"{name} is damaged: its tables cannot be read ({type(error).__name__}: {error}). Copy it again."
        ) from error


class _CannotLiftError(Exception):
    """The reason why a graph cannot be lifted, as the end of a sentence."""


def _schema() -> Any:
    """Return the generated code of the TFLite schema."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        from tensorflow.lite.python import schema_py_generated as schema
    return schema


class _Lifter:
    """The tables of one file, which are changed, and what is known of its variables."""

    def __init__(self, payload: bytes) -> None:
        self._schema = _schema()
        self._payload = payload
        self._model = self._schema.ModelT.InitFromPackedBuf(payload, 0)
        self._main = self._model.subgraphs[0]
        self._initialisers: set[int] = set()
        self._source: dict[Variable, int | None] = {}  # the tensor it is read as first; None: it is written before
        self._target: dict[Variable, int] = {}  # the tensor that is assigned last
        self._assigned: set[Variable] = set()
        self._alias: dict[int, int] = {}  # tensor -> the tensor in whose place it stands

    def lifted(self) -> Lifted:
        """Return the result; raise _CannotLiftError."""
        self._check_signatures()
        starts = self._start_values()
        self._check_inner_graphs()
        self._take_out_variables()
        states, exposed = self._connect(starts)
        self._drop_unused()
        return Lifted(self._packed(self._model), tuple(states), self._exposing(exposed))

    def _code(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return operator_name(max(code.builtinCode, code.deprecatedBuiltinCode))

    def _has_variables(self, number: int) -> bool:
        return any(self._code(each) in VARIABLE_OPERATORS for each in self._model.subgraphs[number].operators or ())

    def _check_signatures(self) -> None:
        signatures = self._model.signatureDefs or []
        touching = [_text(each.signatureKey) for each in signatures if self._has_variables(each.subgraphIndex)]
        if len(touching) > 1:
            raise _CannotLiftError(
                f"its signatures {', '.join(touching)} use the variables, and only one of them can be the step: "
                "convert that one alone"
            )
        if any(self._has_variables(each.subgraphIndex) and each.subgraphIndex for each in signatures):
            raise _CannotLiftError(f"the signature {touching[0]} is not its first graph: convert it alone")

    def _check_inner_graphs(self) -> None:
        for number in range(1, len(self._model.subgraphs)):
            if number not in self._initialisers and self._has_variables(number):
                raise _CannotLiftError(
                    "a variable is used inside a loop or branch (WHILE or IF): make it an argument of the loop"
                )

    def _start_values(self) -> dict[Variable, AnyArray]:
        """Return the constants that the initialisers assign."""
        starts: dict[Variable, AnyArray] = {}
        for operator in self._main.operators:
            if self._code(operator) == _INITIALISE:
                self._initialisers.add(operator.builtinOptions.initSubgraphIndex)
        for number in self._initialisers:
            graph, handles = self._model.subgraphs[number], dict[int, Variable]()
            for operator in graph.operators or ():
                code = self._code(operator)
                if code == _HANDLE:
                    handles[int(operator.outputs[0])] = _variable(operator)
                elif code == _ASSIGN:
                    variable = handles[int(operator.inputs[0])]
                    value = self._constant(graph.tensors[operator.inputs[1]])
                    if value is None:
                        raise _CannotLiftError(f"the start value of {variable[1]} is computed, not a constant")
                    starts[variable] = value
                else:
                    raise _CannotLiftError(f"its initialiser computes with {code}, so the start values are not known")
        return starts

    def _constant(self, tensor: Any) -> AnyArray | None:
        data = self._model.buffers[tensor.buffer].data
        if data is None:
            return None
        names = {number: name for name, number in vars(self._schema.TensorType).items() if isinstance(number, int)}
        dtype = _DTYPES.get(names.get(tensor.type, ""))
        if dtype is None:
            raise _CannotLiftError(f"a variable is of type {names.get(tensor.type, tensor.type)}")
        return np.frombuffer(bytes(bytearray(data)), dtype).reshape(_shape(tensor))

    def _take_out_variables(self) -> None:
        """Take the operators of variables out, and note which tensors take their place."""
        handles: dict[int, Variable] = {}
        kept = []
        for operator in self._main.operators:
            code = self._code(operator)
            inputs = [] if operator.inputs is None else [int(each) for each in operator.inputs]
            if code == _HANDLE:
                handles[int(operator.outputs[0])] = _variable(operator)
            elif code in (_READ, _ASSIGN):
                variable = handles[inputs[0]]
                if code == _ASSIGN:
                    self._source.setdefault(variable, None)
                    self._target[variable] = self._alias.get(inputs[1], inputs[1])
                    self._assigned.add(variable)
                elif variable not in self._target:
                    self._source[variable] = self._target[variable] = int(operator.outputs[0])
                else:
                    self._alias[int(operator.outputs[0])] = self._target[variable]
            elif code != _INITIALISE:
                if any(each in handles for each in inputs):
                    raise _CannotLiftError(f"the operator {code} takes a variable itself")
                operator.inputs = [self._alias.get(each, each) for each in inputs]
                kept.append(operator)
        self._main.operators = kept

    def _connect(self, starts: Mapping[Variable, AnyArray]) -> tuple[list[LiftedState], dict[int, str]]:
        """Make inputs and outputs of the variables.

        Returns:
            The states; and tensor of the original graph -> the name that it gets as a further output.
        """
        main, alias = self._main, self._alias
        inputs = [int(each) for each in main.inputs]
        outputs = [alias.get(int(each), int(each)) for each in main.outputs]
        signature = next((each for each in self._model.signatureDefs or [] if each.subgraphIndex == 0), None)
        for port in signature.outputs if signature else ():
            port.tensorIndex = alias.get(port.tensorIndex, port.tensorIndex)
        taken = {_text(main.tensors[each].name) for each in (*inputs, *outputs)}
        shown = {index: _text(main.tensors[index].name) for index in outputs}
        states, exposed = [], dict[int, str]()
        for variable, source in self._source.items():
            target = self._target[variable]
            if source is None:
                continue
            if variable not in starts:
                raise _CannotLiftError(
                    f"{variable[1]} is read and has no start value (was the model saved without its weights?)"
                )
            start, tensor = starts[variable], main.tensors[source]
            tensor.shape, tensor.shapeSignature, tensor.isVariable = list(start.shape), None, False
            if variable not in self._assigned:
                tensor.buffer = self._new_buffer(start.tobytes())
                continue
            name = _fresh(_identifier(variable[1]), taken)
            showing, is_other = shown.get(target) or exposed.get(target), target in (*inputs, *outputs, source)
            if not is_other and self._model.buffers[main.tensors[target].buffer].data is None:
                showing = exposed[target] = f"next_{name}"
            if is_other or showing is None or not self._are_alike(tensor, target):
                target = self._copy_of(target, tensor)
            tensor.name, main.tensors[target].name = name.encode(), f"next_{name}".encode()
            inputs.append(source)
            outputs.append(target)
            states.append(LiftedState(name, start, showing))
            if signature:
                signature.inputs.append(self._port(name, source))
                signature.outputs.append(self._port(f"next_{name}", target))
        if not states:
            raise _CannotLiftError("its variables are never both read and written: it has no state")
        main.inputs, main.outputs = inputs, outputs
        return states, exposed

    def _are_alike(self, tensor: Any, target: int) -> bool:
        """Tell whether a next value has the scale of its state; variables hand on bytes, whatever they stand for."""
        one, other = (each.quantization for each in (tensor, self._main.tensors[target]))
        return _scale_of(one) == _scale_of(other)

    def _new_buffer(self, content: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _copy_of(self, index: int, like: Any) -> int:
        """Add an operator that copies a tensor, and return the copy: no tensor may be two outputs, or an input too."""
        schema, main = self._schema, self._main
        shape = np.array(_shape(like), np.int32)
        shape_tensor, result = schema.TensorT(), copy.copy(like)
        shape_tensor.shape, shape_tensor.type = [len(shape)], schema.TensorType.INT32
        shape_tensor.buffer, shape_tensor.name = self._new_buffer(shape.tobytes()), b"shape_of_state"
        result.buffer, result.shape, result.shapeSignature = 0, shape.tolist(), None
        main.tensors += [shape_tensor, result]
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_number(schema.BuiltinOperator.RESHAPE)
        operator.inputs, operator.outputs = [index, len(main.tensors) - 2], [len(main.tensors) - 1]
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = shape.tolist()
        main.operators.append(operator)
        return len(main.tensors) - 1

    def _code_number(self, builtin: int) -> int:
        for number, code in enumerate(self._model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
                return number
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def _port(self, name: str, index: int) -> Any:
        port = self._schema.TensorMapT()
        port.name, port.tensorIndex = name.encode(), index
        return port

    def _drop_unused(self) -> None:
        """Drop initialisers, operator codes and contents that nothing needs, and renumber what refers to them."""
        model = self._model
        kept = [number for number in range(len(model.subgraphs)) if number not in self._initialisers]
        number_of = {old: new for new, old in enumerate(kept)}
        model.subgraphs = [model.subgraphs[number] for number in kept]
        for signature in model.signatureDefs or []:
            signature.subgraphIndex = number_of[signature.subgraphIndex]
        operators = [each for graph in model.subgraphs for each in graph.operators or ()]
        codes = sorted({each.opcodeIndex for each in operators})
        for operator in operators:
            operator.opcodeIndex = codes.index(operator.opcodeIndex)
            for options in (operator.builtinOptions, getattr(operator, "builtinOptions2", None)):
                for field, value in vars(options).items() if options is not None else ():
                    if field.lower().endswith("subgraphindex"):
                        setattr(options, field, number_of.get(value, value))
        model.operatorCodes = [model.operatorCodes[number] for number in codes]
        needed = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
        needed |= {each.buffer for each in model.metadata or []} | {int(each) for each in _each(model.metadataBuffer)}
        for number, buffer in enumerate(model.buffers):
            if number not in needed:
                buffer.data = None

    def _exposing(self, shown: Mapping[int, str]) -> bytes:
        """Return the original graph with further outputs."""
        model = self._schema.ModelT.InitFromPackedBuf(self._payload, 0)
        main = model.subgraphs[0]
        main.outputs = [*map(int, main.outputs), *shown]
        for index, name in shown.items():
            main.tensors[index].name = name.encode()
        return self._packed(model)

    def _packed(self, model: Any) -> bytes:
        import flatbuffers

        contents = [b"" if buffer.data is None else bytes(bytearray(buffer.data)) for buffer in model.buffers]
        model.buffers = [aligned_buffer(self._schema, content) for content in contents]
        builder = flatbuffers.Builder(len(self._payload))
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())


def _text(name: bytes | str | None) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""


def _variable(operator: Any) -> Variable:
    return _text(operator.builtinOptions.container), _text(operator.builtinOptions.sharedName)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in _each(tensor.shape))


def _each(numbers: Any) -> Iterable[Any]:
    return () if numbers is None else numbers


def _scale_of(quantization: Any) -> tuple[Any, ...]:
    if quantization is None or quantization.scale is None:
        return ()
    return tuple(map(float, quantization.scale)), tuple(map(int, _each(quantization.zeroPoint)))


def _identifier(name: str) -> str:
    """Return the name of a variable in letters, digits and underscores."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "state"


def _fresh(name: str, taken: set[str]) -> str:
    """Return a name that neither it nor the next value of it has yet."""
    number, found = 2, name
    while {found, f"next_{found}"} & taken:
        found, number = f"{name}_{number}", number + 1
    taken |= {found, f"next_{found}"}
    return found
