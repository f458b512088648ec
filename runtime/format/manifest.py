"""The manifest of a model file (formats 1 to 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..common.arrays import Float32
from ..common.lazy import computed_once
from .io_mapping import IOMapping
from .json_fields import write
from .manifest_fields import FORMAT, MANIFEST, MAPPED_FORMAT, SINGLE_FORMAT, TIMED_FORMAT, WIDE_FORMAT
from .tensor_specs import EVERY_STEP, PROBABILITIES, SYMBOL, VALUES, AnswerTimes, Feature, MicroGraph, Output, Window
from .trained_data import TEXT, OutputSymbols, TrainedData
from .vocabulary import Vocabulary

Json = Mapping[str, Any]
LONGEST_MEMORY = 4_096  # steps that `Manifest.memory` says at most


@dataclass(frozen=True)
class StateTensor:
    """One tensor of the state: input `name` of a step, output `next` of the same step.

    Attributes:
        name: "h0", "c0", "h1", "past2", ...: what it is, then the index of the layer with a state.
        shape: Shape without the batch dimension, (U,) for U units, (steps, channels) for the past inputs of a
            convolution.
        initial: Value of every element after a reset; or a value for each of them, in C order.
        given: Its value after a reset is given for each stream and stays: a static input.
        dtype: Its type in the graph. Streams have all numbers as float32, which holds integers up to 2 to the power of
            24 as they are: of a quantised state the integers themselves.
    """

    name: str
    shape: tuple[int, ...]
    initial: float | tuple[float, ...] = 0.0
    given: bool = False
    dtype: str = "float32"

    @property
    def next(self) -> str:
        """The name of the output that becomes this input at the next step. Pairs are made by name alone."""
        return f"next_{self.name}"

    def describe(self) -> str:
        """Return name and shape."""
        return f"{self.name} {list(self.shape)}"

    def initial_value(self) -> Float32:
        """Return the value after a reset, float32 of shape `(1, *shape)`."""
        if isinstance(self.initial, tuple):
            return np.array(self.initial, np.float32).reshape((1, *self.shape))
        return np.full((1, *self.shape), self.initial, np.float32)

    def starting_from(self, value: Float32) -> StateTensor:
        """Return this tensor with `value`, as many numbers as it has elements, as its value after a reset.

        If they are equal, one number is enough: that needs no newer format.
        """
        numbers = tuple(_shortest(number) for number in value.reshape(-1))
        return replace(self, initial=numbers[0] if len(set(numbers)) == 1 else numbers)


@dataclass(frozen=True)
class Cell:
    """One recurrent layer as it was in Keras: for people and for other engines; the graph has it built in.

    Attributes:
        kind: "lstm", "gru" or "rnn".
        units: Numbers in each of its states.
        activation: What Keras calls its activation.
        recurrent_activation: What Keras calls that of its gates; None where there are none.
        reset_after: Of a GRU: the reset gate comes after the product; None for the others.
    """

    kind: str
    units: int
    activation: str
    recurrent_activation: str | None = None
    reset_after: bool | None = None


@dataclass(frozen=True)
class GoldenRun:
    """Symbols stepped from one start, and what a correct interpreter answers.

    Attributes:
        start: "initial", or "ramp": element i of all state elements, counted through the tensors in manifest
            order, is ((37 i + 11) mod 101) / 101 - 0.5, a non-zero state that any engine can make without storing it.
            Of integers it is the remainder less 50; of uint8 the remainder, of bool that modulo 2.
        ids: The ids to step, T of them; zeros where the model reads no symbol.
        probabilities: T rows; each holds the probabilities of the golden sequence's `outputs`.
        features: Name -> T rows: the elements of each feature.
        extra_outputs: Name of another output -> T rows: its first numbers.
    """

    start: str
    ids: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]
    features: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    extra_outputs: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """A known answer inside the file, replayed at every load.

    Attributes:
        tolerance: Largest allowed difference of a number: as it is for probabilities, relative above 1 for values.
        outputs: The output ids whose probabilities are recorded (a large vocabulary is sampled).
        runs: Runs to replay one after the other; each sets the state first.
        scales: Name of an output of values -> what the difference of each recorded number is divided by before it is
            compared with the tolerance; an output that is not here has none.
    """

    tolerance: float
    outputs: tuple[int, ...]
    runs: tuple[GoldenRun, ...]
    scales: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything a device must know about a model beyond its graph. Written as JSON inside the model file.

    Attributes:
        name: The name of the model.
        vocabulary: Symbols the model reads; their ids are the input `symbol`. Empty: it reads features alone.
        labels: Symbols of the main output if they are not those of the next input; None: it predicts the next symbol.
        output: "softmax" (the probabilities sum to 1), "sigmoid" (each is one), or "linear": values as they are, in the
            output `values`.
        state: The state tensors, in a fixed order.
        cells: The recurrent layers, first to last.
        golden: The known answer; None while a file is being made.
        training: The training data and its success: problem, framing, longest_length, accuracy.
        quantization: Precision of the weights: "float32", "float16", "int8" (dynamic range; with `micro` products of
            8 bits with fixed scales), "int16" (weights of 8 bits, products of 16).
        parity: The differences from Keras, measured before the file was written, an entry for each interpreter.
        requires: Requirements on an interpreter: operator name -> version, or `opset` and `ir_version`.
        producer: Program and version that wrote the file.
        fingerprint: sha256 of the model payload, in hex: the file without this manifest.
        io_mapping: The names in a graph that stepcell did not make; None: those of format 1.
        features: Inputs beside the symbol, or in its place.
        extra_outputs: Outputs beside the main one.
        sequence: The graph is that of whole sequences, not of a step: `symbols` (T, B) in place of `symbol` (B,), and
            `probabilities` (T, B, K).
        answers: The steps that answer.
        window: The past that an answer depends on; None: all since the reset.
        binary: The main output is one number, the probability of the second of two labels.
        memory: How many steps the network remembers, as `tasks.memory_length` measures it; `LONGEST_MEMORY`: as many
            or more; None: not measured.
        micro: Of a graph for TensorFlow Lite Micro, which has the signature `step` alone and steps one stream; None: it
            is none.
        one_signature: A TFLite graph that reads symbols alone has the signature `step` and no other: readers of formats
            1 to 4 want a signature `absorb` beside it.
    """

    name: str
    vocabulary: Vocabulary
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]
    output: str = "softmax"
    labels: Vocabulary | None = None
    golden: Golden | None = None
    training: Json = field(default_factory=dict)
    quantization: str = "float32"
    parity: tuple[Json, ...] = ()
    requires: Json = field(default_factory=dict)
    producer: str = ""
    fingerprint: str = ""
    io_mapping: IOMapping | None = None
    features: tuple[Feature, ...] = ()
    extra_outputs: tuple[Output, ...] = ()
    sequence: bool = False
    answers: AnswerTimes = EVERY_STEP
    window: Window | None = None
    binary: bool = False
    memory: int | None = None
    micro: MicroGraph | None = None
    one_signature: bool = False

    @computed_once
    def static(self) -> tuple[StateTensor, ...]:
        """The tensors of the state that are static inputs."""
        return tuple(tensor for tensor in self.state if tensor.given)

    @property
    def answer(self) -> str:
        """The name of the main output in the graph."""
        return VALUES if self.output == "linear" else PROBABILITIES

    @property
    def format(self) -> int:
        """The lowest format number that describes it, so that readers of older formats refuse no file without need."""
        if self.one_signature:
            return SINGLE_FORMAT
        if self.answers != EVERY_STEP or self.window is not None or any(tensor.given for tensor in self.state):
            return TIMED_FORMAT
        if self.binary or self.micro is not None:
            return TIMED_FORMAT
        if self.io_mapping is not None and self.io_mapping.needs_format_4:
            return TIMED_FORMAT
        starts = any(isinstance(tensor.initial, tuple) for tensor in self.state)
        if starts or self.sequence or self.features or self.extra_outputs or self.output == "linear":
            return WIDE_FORMAT
        return FORMAT if self.io_mapping is None else MAPPED_FORMAT

    def graph_inputs(self) -> dict[str, tuple[type, tuple[int | str, ...]]]:
        """Return name -> dtype and shape of all inputs of the graph.

        The shapes are without the first dimension: the batch, or the time steps of a graph of sequences, where the
        batch "B" is the second.
        """
        batch: tuple[int | str, ...] = ("B",) if self.sequence else ()
        name = "symbols" if self.sequence else SYMBOL
        symbol: dict[str, tuple[type, tuple[int | str, ...]]] = (
            {name: (np.int32, batch)} if len(self.vocabulary) else {}
        )
        state = {tensor.name: (np.float32, tensor.shape) for tensor in self.state}
        return {**symbol, **{f.name: (f.dtype, f.shape) for f in self.features}, **state}

    def graph_outputs(self) -> dict[str, tuple[type, tuple[int | str, ...]]]:
        """Return the same of all outputs."""
        batch: tuple[int | str, ...] = ("B",) if self.sequence else ()
        answers = {
            self.answer: (*batch, self.output_size),
            **{o.name: (o.size,) for o in self.extra_outputs},
        }
        states = {tensor.next: tensor.shape for tensor in self.state}
        return {name: (np.float32, shape) for name, shape in {**answers, **states}.items()}

    @property
    def output_size(self) -> int:
        """The number of elements of the main output: as many as it has symbols, but one for two labels if `binary`."""
        return 1 if self.binary else len(self.output_vocabulary)

    @property
    def output_vocabulary(self) -> Vocabulary:
        """The symbols of the output, in the order of `probabilities`."""
        return self.vocabulary if self.labels is None else self.labels

    @computed_once
    def output_symbols(self) -> OutputSymbols:
        """The symbols that the numbers of the main output stand for, and which are not offered; () for values."""
        if self.output == "linear":
            return OutputSymbols()
        vocabulary = self.output_vocabulary
        symbols, data = OutputSymbols(vocabulary.symbols), self.trained_data
        if self.labels is None:
            names = (vocabulary.unknown, data.end if data.kind == TEXT else None)
            symbols.hidden = tuple(vocabulary.encode(name) for name in names if name is not None)
        return symbols

    @computed_once
    def trained_data(self) -> TrainedData:
        """How the training data were read."""
        return TrainedData.of(self.training, self.vocabulary, [feature.name for feature in self.features])

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        return write(self, MANIFEST)  # type: ignore[no-any-return]

    def to_bytes(self) -> bytes:
        """Return the manifest as UTF-8 JSON; equal manifests give equal bytes."""
        return json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _shortest(number: np.float32) -> float:
    """Return the float with the fewest digits that is `number` once it is a float32 again."""
    short = float(str(number))
    return short if np.float32(short) == number else float(number)
