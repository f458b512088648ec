"""The fields of a manifest, formats 1 to 5: the table from which it is written, checked, read and documented.

`docs/manifest.schema.json` and the table in `docs/model-file.md` are made from it by `python docs/manifest_pages.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from .io_mapping import SYMBOL_TYPES, TENSOR_TYPES, IOMapping
from .json_fields import Field, Schema, array_of, object_of
from .tensor_specs import ACTIVATIONS, EVERY_STEP, WINDOW_METHODS

FORMAT = 1
MAPPED_FORMAT = 2  # format 1 and the entry `graph`, for graphs that have other names than format 1 prescribes
WIDE_FORMAT = 3  # features, further outputs, values, start states; see `Manifest.format`
TIMED_FORMAT = 4  # steps without an answer, windows, states that are given for each stream
SINGLE_FORMAT = 5  # any of them, in a TFLite graph whose only signature is `step`
NEWEST_FORMAT = SINGLE_FORMAT

_MAX_INT32 = 2**31 - 1  # TFLite has int32 for dimensions
_MAX_FLOAT32 = 3.4028235e38  # rounded to the largest float32, and written for it
_TEXT: Schema = {"type": ("string",)}
_FLAG: Schema = {"type": ("boolean",)}
_NUMBER: Schema = {"type": ("number",), "minimum": -_MAX_FLOAT32, "maximum": _MAX_FLOAT32}
_SIZE: Schema = {"type": ("integer",), "minimum": 1, "maximum": _MAX_INT32}
_COUNT: Schema = {**_SIZE, "minimum": 0}
_ZERO_POINT: Schema = {**_SIZE, "minimum": -_MAX_INT32}
_ANYTHING: Schema = {"type": ("object",)}
_ROWS = array_of(array_of(_NUMBER))
_NAMED_NUMBERS: Schema = {"type": ("object",), "additionalProperties": array_of(_NUMBER)}
_NAMED_ROWS: Schema = {"type": ("object",), "additionalProperties": _ROWS}
_FLOAT32 = ("float32",)


def _one_of(*values: str) -> Schema:
    return {"enum": values}


def _vocabulary(*, nullable: bool = False) -> Schema:
    return object_of(
        Field("symbols", array_of(_TEXT), "The symbols; the position of a symbol is its id."),
        Field("unknown", {"type": ("string", "null")}, "The symbol for all others; null: they are refused.", None),
        nullable=nullable,
    )


def _tensor(dtypes: tuple[str, ...], *more: Field) -> Schema:
    return object_of(
        Field("name", _TEXT, "The name in the signature, or of the tensor."),
        Field("dtype", _one_of(*dtypes), "The type of its elements."),
        Field("shape", array_of(_SIZE), "The shape for one stream, with a batch dimension of 1 if it has one."),
        Field("scale", _NUMBER, "Of a quantised tensor: q stands for (q - zero_point) scale.", 0.0, 4),
        Field("zero_point", _ZERO_POINT, "See `scale`.", 0, 4),
        *more,
    )


_INITIAL: Schema = {**_NUMBER, "type": ("number", "array"), "items": _NUMBER}
_STATE = object_of(
    Field("name", _TEXT, "The input of a step: `h0`, `c0`, `past1`, ...: its kind and the index of the layer call."),
    Field("next", _TEXT, "The output of the step that becomes this input: `next_` and the name."),
    Field("dtype", _one_of(*TENSOR_TYPES), "The type of its elements; others than float32 in format 4 alone."),
    Field("shape", array_of(_SIZE, least=1), "The shape without the batch dimension."),
    Field("initial", _INITIAL, "The value of every element after a reset; in format 3 possibly one for each, C order."),
    Field("given", _FLAG, "Its value after a reset is given for each stream, and stays: a static input.", False, 4),
)
_CELL = object_of(
    Field("kind", _TEXT, "`lstm`, `gru` or `rnn`."),
    Field("units", _SIZE, "The number of elements of each of its states."),
    Field("activation", _TEXT, "The name that Keras has for its activation."),
    Field("recurrent_activation", _TEXT, "The same of its gates.", None),
    Field("reset_after", _FLAG, "Of a GRU: the reset gate comes after the product.", None),
)
_FEATURE = object_of(
    Field("name", _TEXT, "The name of the input."),
    Field("shape", array_of(_SIZE), "The shape of one step, without the batch dimension; empty for an id."),
    Field("dtype", _one_of("float32", "int32"), "`int32` for an id.", value=lambda f: np.dtype(f.dtype).name),
    Field("ids", {**_SIZE, "type": ("integer", "null")}, "The number of ids; null: it is no id.", None),
)
_OUTPUT = object_of(
    Field("name", _TEXT, "The name of the output."),
    Field("size", _SIZE, "The number of its elements."),
    Field("activation", _one_of(*ACTIVATIONS), "`softmax`: they sum to 1; `sigmoid`: each is a probability."),
    Field("labels", _vocabulary(nullable=True), "The symbols its elements belong to; null: none.", None),
)
_GOLDEN_RUN = object_of(
    Field("start", _one_of("initial", "ramp"), "The state before the first step."),
    Field("ids", array_of(_COUNT), "The symbol ids to step; zeros if the model reads no symbol."),
    Field("probabilities", _ROWS, "After each step the elements `outputs` of the main output."),
    Field("features", _NAMED_ROWS, "Name of a feature -> its elements at each step.", {}, 3),
    Field("others", _NAMED_ROWS, "Name of a further output -> its first elements.", {}, 3, attrgetter("extra_outputs")),
)
_GOLDEN = object_of(
    Field("tolerance", _NUMBER, "The largest allowed difference of an element."),
    Field("outputs", array_of(_COUNT), "The elements of the main output that are recorded."),
    Field("runs", array_of(_GOLDEN_RUN), "Runs to replay one after the other."),
    Field("scales", _NAMED_NUMBERS, "Name of an output -> the divisors of the differences of its numbers.", {}, 3),
    nullable=True,
)
_LOGITS = Field("logits", _FLAG, "The answer is the softmax of this output.")
_ENDS = object_of(
    Field("name", _TEXT, "The name in the entry `state`."),
    Field("input", _tensor(TENSOR_TYPES), "The input for the state."),
    Field("output", _tensor(TENSOR_TYPES), "The output for the next state."),
)
_PORT = _tensor(TENSOR_TYPES)
_NAMED_PORT = object_of(
    Field("name", _TEXT, "The name in the entry `features` or `outputs`."),
    Field("tensor", _PORT, "The input or output of the graph."),
)
_CONSTANT = object_of(
    Field("tensor", _PORT, "The input."),
    Field("value", {**_NUMBER, "type": ("number", "array"), "items": _NUMBER}, "Its numbers, or one for all of them."),
)


def _output_of(mapping: IOMapping) -> dict[str, Any]:
    return {**vars(mapping.output), "logits": mapping.logits}


def _ends_of(mapping: IOMapping) -> list[dict[str, Any]]:
    return [{"name": name, "input": ends[0], "output": ends[1]} for name, ends in mapping.state.items()]


def _ports(name: str) -> Callable[[IOMapping], Any]:
    """Return the getter of named tensors; () if there are none."""
    return lambda mapping: tuple({"name": key, "tensor": port} for key, port in getattr(mapping, name).items())


_GRAPH = object_of(
    Field("signature", _TEXT, "The TFLite signature that the names belong to; empty: they are names of tensors."),
    Field("symbol", _tensor(SYMBOL_TYPES), "The input for the symbol: one id, or float32 and one-hot.", None),
    Field("output", _tensor(TENSOR_TYPES, _LOGITS), "The main output.", value=_output_of),
    Field("state", array_of(_ENDS), "Both ends of each state tensor.", value=_ends_of),
    Field("features", array_of(_NAMED_PORT), "The inputs for the features.", (), 4, _ports("features")),
    Field("outputs", array_of(_NAMED_PORT), "The further outputs.", (), 4, _ports("outputs")),
    Field("constants", array_of(_CONSTANT), "Inputs that are the same at every step.", (), 4),
    Field("rate", _SIZE, "Samples per second of a feature that is a chunk of sound.", None, 4),
)
_ANSWERS = object_of(
    Field("first", _SIZE, "The first step after a reset that answers, counted from 1."),
    Field("every", _SIZE, "From there on, each such step answers; 1: each."),
)
_WINDOW = object_of(
    Field("length", _SIZE, "The number of steps that an answer depends on, N."),
    Field("method", _one_of(*WINDOW_METHODS), "`rows`: N staggered states; `recompute`: the last N - 1 inputs."),
)
_MICRO = object_of(
    Field("arena", _COUNT, "Bytes of memory that TensorFlow Lite Micro needs for it; 0: not measured."),
    Field("inputs", array_of(_TEXT, least=1), "The names of the inputs by position."),
    Field("outputs", array_of(_TEXT, least=1), "The names of the outputs by position."),
)
_TARGET = object_of(
    Field("kind", _one_of("next", "label"), "`next`: the model predicts its next symbol; `label`: it names labels."),
    Field("vocabulary", _vocabulary(), "Of `label`: the symbols of the main output.", None),
)
_INPUT = object_of(
    Field("name", _one_of("symbol", "symbols"), "`symbols` in a graph of whole sequences.", None),
    Field("dtype", _one_of("int32"), "The type of an id.", None),
    Field("size", _COUNT, "The number of symbols.", None),
)
_MAIN_OUTPUT = object_of(
    Field("name", _one_of("probabilities", "values"), "`values` if the activation is linear.", None),
    Field("dtype", _one_of(*_FLOAT32), "The type of its elements.", None),
    Field("size", _COUNT, "The number of its elements; 1 for two labels in format 4 alone.", None),
    Field("activation", _one_of(*ACTIVATIONS), "`linear`, values as they are, in format 3 alone."),
)


def _target_of(manifest: Any) -> dict[str, Any]:
    return {"kind": "next" if manifest.labels is None else "label", "vocabulary": manifest.labels}


def _input_of(manifest: Any) -> dict[str, Any]:
    name = "symbols" if manifest.sequence else "symbol"
    return {"name": name, "dtype": "int32", "size": len(manifest.vocabulary)}


def _main_output_of(manifest: Any) -> dict[str, Any]:
    return {
        "name": manifest.answer, "dtype": "float32", "size": manifest.output_size, "activation": manifest.output,
    }  # fmt: skip


def _wide(name: str) -> Callable[[Any], Any]:
    """Return the getter of a list that all manifests from format 3 on have, even if it is empty."""
    return lambda manifest: list(getattr(manifest, name)) if manifest.format >= WIDE_FORMAT else ()


_FORMAT: Schema = {"type": ("integer",), "minimum": FORMAT, "maximum": NEWEST_FORMAT}
MANIFEST = object_of(
    Field("format", _FORMAT, "The lowest format number that describes the file."),
    Field("name", _TEXT, "The name of the model."),
    Field("fingerprint", _TEXT, "sha256 in hex of the file without the manifest and its checksum."),
    Field("vocabulary", _vocabulary(), "The symbols that the model reads."),
    Field("target", _TARGET, "The symbols that the main output belongs to.", value=_target_of),
    Field("input", _INPUT, "The input for symbols; stepcell itself finds it elsewhere.", None, value=_input_of),
    Field("output", _MAIN_OUTPUT, "The main output.", value=_main_output_of),
    Field("state", array_of(_STATE, least=1), "The tensors of the state, in a fixed order."),
    Field("cells", array_of(_CELL), "The recurrent layers, first to last, as they were in Keras."),
    Field("golden", _GOLDEN, "A known answer, replayed at every load; null: none.", None),
    Field("training", _ANYTHING, "How the model was trained; under `data`, how its file was read."),
    Field("quantization", _TEXT, "The precision of the weights: `float32`, `float16`, `int8` or `int16`."),
    Field("parity", array_of(_ANYTHING), "The differences from Keras, for each interpreter and start."),
    Field("requires", _ANYTHING, "What an interpreter must have: operator versions, or `opset` and `ir_version`."),
    Field("producer", _TEXT, "The program and version that wrote the file."),
    Field("graph", _GRAPH, "The names in a graph that stepcell did not make.", None, 2, attrgetter("io_mapping")),
    Field("features", array_of(_FEATURE), "The inputs beside the symbol, or in its place.", (), 3, _wide("features")),
    Field("outputs", array_of(_OUTPUT), "The outputs beside the main one.", (), 3, _wide("extra_outputs")),
    Field("sequence", _FLAG, "The graph is that of whole sequences, not of a step.", False, 3),
    Field("answers", _ANSWERS, "The steps that answer.", EVERY_STEP, 4),
    Field("window", _WINDOW, "The model answers for the last N steps; missing: for all since the reset.", None, 4),
    Field(
        "memory",
        _SIZE,
        "The steps after which 99 % of pairs of states, one of them begun anew, agree within 1e-4; "
        "4,096: as many or more; missing: not measured.",
        None,
    ),
    Field("micro", _MICRO, "A graph for TensorFlow Lite Micro: one stream, and the signature `step` alone.", None, 4),
)
