"""The graph of a Keras model: its layer calls in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

import keras
import numpy as np

from .opened import functional_of, opened
from .packages import substitute
from .static_values import spreads, static_inputs
from .word_lookup import Words, words_of

KerasModel: TypeAlias = Any
KerasLayer: TypeAlias = Any
Shape: TypeAlias = tuple[int | None, ...]
# Layers whose output has no time axis.
COLLAPSING = (keras.layers.Flatten, keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D)


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes:
        layer: The layer, or a Keras operation that is none (`x + y` on symbolic tensors).
        inputs: Numbers of the values it reads, without the mask.
        output: Number of the value it makes.
        input_shapes: Shapes of the inputs as Keras has them, with the batch and, if `timed`, the time steps.
        output_shape: Likewise of the output.
        timed: All its inputs have a time axis (axis 1). False inside of TimeDistributed, and after a recurrent layer
            with return_sequences=False.
        mixed: Some of its inputs have a time axis and some have none.
        mask: Number of the value that masks its time steps, or None.
        operands: Arguments of an operation, in order: a position in `inputs`, or a constant.
        outputs: How many values it makes.
        padding: Number of zeros before the sequence it reads (ZeroPadding1D, ZeroPadding2D).
        mixed_masks: Some of its inputs carry a mask and some do not.
        dtypes: The dtypes of the inputs as Keras names them.
        arguments: All its positional and named arguments, nested as they are given, with an `Operand` for each input.
        initial: The initial_state that a recurrent layer is given, flat: numbers of values, or arrays without the
            batch; None: zeros.
        result: Which of the results of the layer it makes; those of a layer without a state are calls of their own.
        spread: It makes a sequence of a value that is the same at all time steps; see `static`.
        static: Numbers of its inputs that come from static inputs alone.
    """

    layer: KerasLayer
    inputs: tuple[int, ...]
    output: int
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    timed: bool = True
    mixed: bool = False
    mask: int | None = None
    operands: tuple[Operand, ...] = ()
    outputs: int = 1
    padding: int = 0
    mixed_masks: bool = False
    dtypes: tuple[str, ...] = ()
    arguments: tuple[tuple[Any, ...], dict[str, Any]] = field(default=((), {}), repr=False)
    initial: tuple[Any, ...] = ()
    result: int = 0
    spread: bool = False
    static: tuple[int, ...] = ()

    @property
    def read(self) -> tuple[int, ...]:
        """Numbers of all values that it reads, mask and initial state among them."""
        initial = tuple(each for each in self.initial if isinstance(each, int))
        return (*self.inputs, *initial, *([] if self.mask is None else [self.mask]))

    @property
    def begins_with(self) -> tuple[int, ...]:
        """Numbers of the values, made of static inputs, that are its state before the first step; () of others."""
        return tuple(each for each in self.initial if isinstance(each, int))

    @property
    def is_static(self) -> bool:
        """Whether it makes the same at all time steps, for all its inputs come from static inputs."""
        same = bool(self.inputs) and len(self.static) == len(self.inputs)
        return same and not isinstance(self.layer, keras.layers.RNN)

    @property
    def step_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs in a step: without batch and time."""
        return tuple(shape[2 if self.timed else 1 :] for shape in self.input_shapes)

    @property
    def whole(self) -> bool:
        """Whether its output has a time axis if its input has one."""
        if isinstance(self.layer, COLLAPSING) or self.takes_last:
            return False
        if isinstance(self.layer, keras.layers.RNN) or type(self.layer).__module__.startswith("keras.src.layers"):
            return bool(getattr(self.layer, "return_sequences", True))
        return self._keeps_time()

    def _keeps_time(self) -> bool:
        """Tell whether an operation, or a layer that Keras does not have, gives an output for each time step."""
        if len(self.output_shape) < 2 or not self.input_shapes:
            return False
        steps = max((shape[1] for shape in self.input_shapes if len(shape) > 1), key=lambda n: n is None, default=None)
        return self.output_shape[1] == steps

    def call_with(self, values: Sequence[Any], **options: Any) -> Any:
        """Call the layer with `values` in the places of its inputs, and return the result that this call makes."""
        args, named = keras.tree.map_structure(
            lambda each: each if not isinstance(each, Operand) else values[each.position or 0], self.arguments
        )
        made = self.layer(*args, **{**named, **options})
        flat = keras.tree.flatten(made)
        return flat[self.result] if len(flat) > 1 else made if not keras.tree.is_nested(made) else flat[0]

    @property
    def takes_last(self) -> bool:
        """Whether it is `x[:, -1]` of a sequence."""
        if not self.timed or type(self.layer).__name__ != "GetItem":
            return False
        _, batch, time, *others = [*(operand.constant for operand in self.operands), None, None]
        wanted = (-1, (self.input_shapes[0][1] or 0) - 1)
        whole = all(index in (slice(None), None) for index in (batch, *others))
        return whole and isinstance(time, int) and time in wanted


@dataclass(frozen=True)
class Operand:
    """An argument of a Keras operation: the input at `position`, or `constant` where that is None."""

    position: int | None
    constant: Any = None


@dataclass(frozen=True)
class GraphInput:
    """An input of a model.

    Attributes:
        name: Its name in Keras.
        number: Number of its value.
        shape: Shape with batch and time steps, None where it is not fixed.
        dtype: Its dtype as Keras names it; int32 where it reads words, of which a step reads the ids.
        static: It has no time axis, beside inputs that have one: it is given once for each sequence.
        words: The words that it reads; None: ids or numbers.
    """

    name: str
    number: int
    shape: Shape
    dtype: str
    static: bool = False
    words: Words | None = None


@dataclass(frozen=True)
class GraphOutput:
    """An output of a model.

    Attributes:
        name: Its name in Keras.
        number: Number of its value.
        shape: Shape in a step: without batch and time.
        timed: It has a time axis in Keras.
        values: Its numbers are values, whatever layer made them.
    """

    name: str
    number: int
    shape: Shape
    timed: bool
    values: bool = False


@dataclass(frozen=True)
class Graph:
    """The calls of a model, each after those whose values it reads; the values numbered first are the inputs.

    Attributes:
        calls: All calls, with those inside nested models and TimeDistributed in their places.
        inputs: The inputs of the model, in the order of Keras.
        outputs: Its outputs, likewise.
        given: The states that were inputs or outputs of the model; see `explicit_state.py`.
        ordered: The outputs have an order of their own; a dictionary of them has none.
    """

    calls: tuple[LayerCall, ...]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    given: tuple[Any, ...] = ()
    ordered: bool = True


def read_graph(
    model: KerasModel, has_rule: Callable[[KerasLayer], bool] = lambda layer: False
) -> tuple[Graph | None, list[str]]:
    """Read the graph of a built `model`: a Sequential or functional one, or of a class of its own that can be opened.

    Args:
        model: The model.
        has_rule: Tells whether a layer has a step rule; other layers that are made of layers are opened.

    Returns:
        The graph, or None where there is none to read, and the problems found.
    """
    functional = opened(model, has_rule) if isinstance(model, keras.Model) else None
    if functional is None:
        return None, [
            f"{getattr(model, 'name', model)!r} is not a Sequential or functional model with a known input: its layers "
            "cannot be listed. Give it a keras.Input, or build the same layers as one of the two."
        ]
    static = static_inputs(functional)
    reader = _Reader(len(functional.inputs), static)
    numbers = reader.read(functional, range(len(functional.inputs)))
    inputs = [
        GraphInput(
            tensor.name, number, reader.id_shapes.get(number, tuple(tensor.shape)),
            "int32" if number in reader.words else str(tensor.dtype), number in static, reader.words.get(number),
        )
        for number, tensor in enumerate(functional.inputs)
    ]  # fmt: skip
    structure = getattr(functional_of(model) or functional, "_outputs_struct", None)
    ordered = not (isinstance(structure, dict) and len(structure) == len(functional.outputs))
    # Keras flattens a dictionary in the order of its sorted keys, and names its outputs by their layers.
    names = (functional_of(model) or functional).output_names if ordered else sorted(structure or {})
    lengths = {each.shape[1] for each in inputs if len(each.shape) > 1}
    outputs = []
    for name, number, tensor in zip(names, numbers, functional.outputs, strict=True):
        # A layer that is not known here may have summed the time up.
        timed = reader.timed[number] and len(tensor.shape) > 1 and tensor.shape[1] in {*lengths, None}
        outputs.append(GraphOutput(name, number, tuple(tensor.shape[2 if timed else 1 :]), timed))
    return Graph(tuple(reader.calls), tuple(inputs), tuple(outputs), ordered=ordered), reader.problems


def as_given(model: KerasModel, inputs: Sequence[Any]) -> Any:
    """Return `inputs`, in the order of `model.inputs`, as its call wants them: alone, in a list or by name."""
    structure = getattr(functional_of(model), "_inputs_struct", None)
    if isinstance(structure, (dict, list, tuple)):
        return keras.tree.pack_sequence_as(structure, list(inputs))
    return inputs[0] if len(inputs) == 1 else list(inputs)


class _Reader:
    """Numbers the values of a model and of the models inside it."""

    def __init__(self, inputs: int, static: frozenset[int]) -> None:
        self.calls: list[LayerCall] = []
        self.timed = {number: number not in static for number in range(inputs)}
        self.static = set(static)
        self.problems: list[str] = []
        self.words: dict[int, Words] = {}  # number of an input -> the words that it reads
        self.id_shapes: dict[int, Shape] = {}  # number of such an input -> the shape of the ids
        self._inputs, self._numbers = inputs, count(inputs)

    def read(self, model: KerasModel, inputs: Sequence[int]) -> list[int]:
        """Append the calls of `model`, given the numbers of its input values; return those of its outputs."""
        functional = functional_of(model)
        numbers = {id(tensor): number for tensor, number in zip(functional.inputs, inputs, strict=True)}
        by_depth = functional._nodes_by_depth
        for depth in sorted(by_depth, reverse=True):
            for node in by_depth[depth]:
                if not isinstance(node.operation, keras.layers.InputLayer):
                    made = self._node(node, numbers)
                    numbers.update({id(tensor): n for tensor, n in zip(node.outputs, made, strict=True)})
        return [numbers[id(tensor)] for tensor in functional.outputs]

    def _node(self, node: Any, numbers: dict[int, int]) -> list[int]:
        layer = substitute(node.operation)
        recurrent = isinstance(layer, keras.layers.RNN)
        masks = [mask for mask in _given(node, "mask", 2 if recurrent else None) if id(mask) in numbers]
        states = _given(node, "initial_state", 1) if recurrent else []
        self._check_constants(node, layer, numbers, states)
        apart = [*masks, *states]
        tensors = [t for t in node.arguments.keras_tensors if not any(t is each for each in apart)]
        inputs = [numbers[id(tensor)] for tensor in tensors]
        words = words_of(layer)
        if words is not None and len(inputs) == 1 and inputs[0] < self._inputs and inputs[0] not in self.words:
            self.words[inputs[0]] = words
            self.id_shapes[inputs[0]] = tuple(node.outputs[0].shape)
            return inputs  # a step reads the ids themselves
        timed = all(self.timed[number] for number in inputs)
        static = tuple(number for number in inputs if number in self.static)
        same = bool(static) and len(static) == len(inputs)
        shapes = [tuple(tensor.shape) for tensor in tensors]
        output_shape = tuple(node.outputs[0].shape)
        inner = layer.layer if timed and type(layer) is keras.layers.TimeDistributed else None
        if inner is not None:
            shapes = [shape[:1] + shape[2:] for shape in shapes]
            output_shape = output_shape[:1] + output_shape[2:]
        stepped = layer if inner is None else substitute(inner)
        before = {number: self.timed[number] for number in inputs}
        if inner is not None:
            self.timed.update(dict.fromkeys(inputs, False))
        if isinstance(stepped, keras.Model) and functional_of(stepped):
            if masks and inner is None:
                self.problems.append(
                    f"{layer.name} ({type(layer).__name__}): it is a model and gets masked steps, which Keras hands "
                    "to the layers inside it without writing that down; put those layers in its place"
                )
            made = self.read(stepped, inputs)
        else:
            made = [next(self._numbers) for _ in node.outputs]
            alone = isinstance(stepped, keras.layers.RNN) or getattr(stepped, "return_state", False)
            call = LayerCall(
                layer=stepped,
                inputs=tuple(inputs),
                output=made[0],
                input_shapes=tuple(shapes),
                output_shape=output_shape,
                timed=timed and inner is None,
                mixed=len(set(before.values())) > 1,
                mask=numbers[id(masks[0])] if masks else None,
                operands=() if isinstance(stepped, keras.layers.Layer) else tuple(_operands(node, tensors)),
                outputs=len(made) if alone else 1,
                mixed_masks=len({getattr(tensor, "_keras_mask", None) is None for tensor in tensors}) > 1,
                dtypes=tuple(str(tensor.dtype) for tensor in tensors),
                arguments=_arguments(node, tensors),
                spread=same and inner is None and spreads(stepped, shapes[0], output_shape, timed=timed),
                static=static,
                initial=tuple(numbers.get(id(each), _row(each)) for each in states),
            )
            for result, number in enumerate(made[:1] if alone else made):
                output_shape = tuple(node.outputs[result].shape)
                output_shape = output_shape if inner is None else output_shape[:1] + output_shape[2:]
                each = replace(call, output=number, output_shape=output_shape, result=result)
                self.calls.append(each)
                self.timed[number] = (each.timed and each.whole) or each.spread
            self.timed.update(dict.fromkeys(made[1:] if alone else (), False))
            self.static.update(made if call.is_static else ())
        self.timed.update(before)
        if inner is not None:
            self.timed.update(dict.fromkeys(made, True))
        return made

    def _check_constants(self, node: Any, layer: KerasLayer, numbers: dict[int, int], states: list[Any]) -> None:
        """Append to the problems a constant mask that leaves out steps, and constant states that differ by row."""
        named = f"{layer.name} ({type(layer).__name__})"
        masks = _given(node, "mask", 2 if isinstance(layer, keras.layers.RNN) else None)
        if any(id(mask) not in numbers and not np.asarray(mask).all() for mask in masks):
            self.problems.append(
                f"{named}: its mask is a constant that leaves out time steps by their number, which a stream does not "
                "have; leave the mask out"
            )
        constants = [np.asarray(each) for each in states if id(each) not in numbers]
        if any(each.ndim > 1 and (each != each[:1]).any() for each in constants):
            self.problems.append(
                f"{named}: its constant initial_state has another row for each sequence of a batch; give it one row"
            )


def _given(node: Any, name: str, position: int | None) -> list[Any]:
    """Return what a call is given as the argument `name`, flat; constants are among it."""
    arguments = node.arguments
    found = arguments.kwargs.get(name)
    if found is None and position is not None and len(arguments.args) > position:
        found = arguments.args[position]
    return [each for each in keras.tree.flatten(found) if each is not None]


def _row(constant: Any) -> Any:
    """Return the first row of a constant, float32; None of a symbolic tensor."""
    if isinstance(constant, keras.KerasTensor):
        return None
    array = np.array(constant, np.float32)
    return array if array.ndim < 2 else array[0]


def _arguments(node: Any, tensors: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with an `Operand` for each of `tensors`, without masks and the training phase."""
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    named = {name: value for name, value in node.arguments.kwargs.items() if name not in ("mask", "training")}
    arguments: tuple[tuple[Any, ...], dict[str, Any]] = keras.tree.map_structure(
        lambda each: Operand(positions[id(each)]) if id(each) in positions else each, (node.arguments.args, named)
    )
    return arguments


def _operands(node: Any, tensors: list[Any]) -> Iterator[Operand]:
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    pending = [*node.arguments.args, *node.arguments.kwargs.values()]
    while pending:
        argument = pending.pop(0)
        if isinstance(argument, (list, tuple)):
            pending = [*argument, *pending]
        elif id(argument) in positions:
            yield Operand(positions[id(argument)])
        else:
            yield Operand(None, argument)
