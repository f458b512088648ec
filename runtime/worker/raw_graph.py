"""Run and step graphs that have no manifest, by the names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import BackendError
from ..format.tflite_graph import read_tflite_graph, tensors_of
from ..interpreters.graph_runners import Runner
from ..interpreters.numpy_backend import read_calculation
from ..interpreters.numpy_engine import build_program
from ..interpreters.registry import NUMPY, open_any_file

_BEGINNING = "start/"  # of the names of arrays that are fed at the first step alone


def raw_runner(backend: str, content: bytes, signature: str = "") -> Runner:
    """Return the function that runs the whole graph `content` on an interpreter.

    Args:
        backend: The interpreter.
        content: A graph; of a TFLite file the first one is run.
        signature: The TFLite signature that the names belong to; "": they are names of tensors.

    Raises:
        NoInterpreterError, BackendError: It cannot be loaded.
    """
    if backend == NUMPY:
        return _numpy_runner(content)
    interpreter: Any = open_any_file(backend, content, "the graph")
    if backend == "onnxruntime":
        names = [node.name for node in interpreter.get_outputs()]
        return lambda fed: dict(zip(names, map(np.asarray, interpreter.run(names, dict(fed))), strict=True))
    graph = read_tflite_graph(content)
    subgraph, inputs, outputs = tensors_of(graph, signature)
    if subgraph:
        raise BackendError(f"The signature {signature!r} is not the first graph of the file.")
    shapes = {name: graph.subgraphs[0].tensors[index].shape for name, index in inputs.items()}

    def run(fed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        resized = [name for name, array in fed.items() if array.shape != shapes[name]]
        for name in resized:
            interpreter.resize_tensor_input(inputs[name], fed[name].shape)
            shapes[name] = fed[name].shape
        if resized:
            interpreter.allocate_tensors()
        for name, array in fed.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

    return run


def _numpy_runner(content: bytes) -> Runner:
    calculation = read_calculation(content)

    def run(fed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        program = build_program(calculation, {name: array.shape for name, array in fed.items()})
        for name, array in fed.items():
            program.inputs[name][...] = array
        program.run()
        return {name: array.copy() for name, array in program.outputs.items()}

    return run


def step_digests(run: Runner, fed: Mapping[str, AnyArray], carried: Mapping[str, str]) -> list[dict[str, str]]:
    """Step a graph and return for each step: name of an output -> the sha256 of its bytes.

    Args:
        run: The graph.
        fed: Name of an input -> what is fed at each step, (T, ...); "start/NAME": what is fed at the first step.
        carried: Name of an input -> the output that is fed to it at the next step.
    """
    state = {name.removeprefix(_BEGINNING): array for name, array in fed.items() if name.startswith(_BEGINNING)}
    rows = {name: array for name, array in fed.items() if not name.startswith(_BEGINNING)}
    digests = []
    for step in range(min(map(len, rows.values()))):
        outputs = run({**{name: array[step] for name, array in rows.items()}, **state})
        state = {name: outputs[carried[name]] for name in state}
        digests.append({name: sha256(array.tobytes()).hexdigest() for name, array in outputs.items()})
    return digests
