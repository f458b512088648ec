"""The C header beside a file for TensorFlow Lite Micro, where inputs and outputs have positions and no names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from ...runtime.format.manifest import StateTensor
from ...runtime.format.model_file import ModelFile
from .names import argument_names, array, comment, name_for, string

_Kinds: TypeAlias = Mapping[str, tuple[Any, tuple[Any, ...]]]  # name -> dtype and shape without the batch
_ORDER = """\
/* TensorFlow Lite Micro lays outputs and intermediate results over the inputs. So write all inputs before each
   Invoke(), and copy all outputs before you write the first input of the next step. */"""


def micro_header(file: ModelFile) -> str:
    """Return the header of a file for TensorFlow Lite Micro: positions, sizes, symbols, the state after a reset.

    Its names begin with the name of the model, and compile as C99 and C++11.
    """
    manifest, micro = file.manifest, file.manifest.micro
    assert micro is not None, "other files have names"
    n = name_for(manifest.name)
    ids = argument_names(list(dict.fromkeys((*micro.inputs, *micro.outputs))), taken=())
    inputs, outputs = manifest.graph_inputs(), manifest.graph_outputs()
    moving = [each for each in manifest.state if not each.given]
    lines = [
        f"/* {comment(manifest.name)}: positions in {comment(file.name)}, for TensorFlow Lite Micro.",
        f"   Written by {comment(manifest.producer or 'stepcell')}. Operators: {', '.join(manifest.requires)}. */",
        f"#ifndef {n}_TFLM_HEADER",
        f"#define {n}_TFLM_HEADER",
        "",
        f"#define {n}_FINGERPRINT {string(manifest.fingerprint)} /* sha256 of the graph */",
        f"#define {n}_GRAPH_BYTES {len(file.payload)} /* of the file; the chip does not need what follows */",
        f"#define {n}_ARENA_BYTES {micro.arena} /* measured on a 64-bit machine; a 32-bit chip needs less */",
        "",
        _ORDER,
        *_positions(f"{n}_input", f"{n}_IN", f"{n}_INPUTS", micro.inputs, ids, inputs),
        *_positions(f"{n}_output", f"{n}_OUT", f"{n}_OUTPUTS", micro.outputs, ids, outputs),
        "",
        "/* Positions of each state: of the input, and of the output that becomes it. */",
        f"#define {n}_STATES {len(moving)}",
        f"static const int {n}_states[{n}_STATES][2] = {{",
        *(f"    {{{n}_IN_{ids[each.name]}, {n}_OUT_{ids[each.next]}}}," for each in moving),
        "};",
        "",
        *(_start(each, f"{n}_start_{ids[each.name]}") for each in moving),
    ]
    for title, vocabulary in (("symbols", manifest.vocabulary), ("labels", manifest.labels)):
        if vocabulary is not None and len(vocabulary):
            texts = ",\n    ".join(string(symbol) for symbol in vocabulary.symbols)
            size = f"{n}_{title.upper()}"
            lines += [
                "",
                f"#define {size} {len(vocabulary)}",
                f"static const char *const {n}_{title}[{size}] = {{ /* UTF-8, by id */\n    {texts}\n}};",
            ]
    return "\n".join([*lines, "", "#endif", ""])


def _positions(
    enum: str, prefix: str, count: str, names: tuple[str, ...], ids: Mapping[str, str], kinds: _Kinds
) -> list[str]:
    """Return an enum of the positions of `names`, and their number."""
    members = []
    for position, name in enumerate(names):
        dtype, shape = kinds[name]
        what = f"{np.dtype(dtype)} {' x '.join(map(str, (1, *shape)))}"
        members.append(f"    {prefix}_{ids[name]} = {position}, /* {what} */")
    return ["", f"enum {enum} {{", *members, f"    {count} = {len(names)}", "};"]


def _start(tensor: StateTensor, name: str) -> str:
    """Return the value of a state after a reset: a constant, or a remark that it is 0 everywhere."""
    value = tensor.initial_value()
    if not value.any():
        return f"/* {name}: after a reset it is 0 everywhere. */"
    return array(name, value.reshape(-1))
