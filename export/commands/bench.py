"""The command `stepcell bench`. The runtime measures; the variants of the Keras model are made here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import thread_time_ns
from typing import TYPE_CHECKING, Annotated, Any

from ...runtime.commands import options as opt

if TYPE_CHECKING:
    from ...runtime.bench.variants import Variant
    from ...runtime.common.arrays import Ids
    from ...runtime.streams.model import Model
    from ..layers.keras_graph import KerasModel


def bench(
    file: opt.ModelFile,
    backend: Annotated[list[str] | None, opt.model(
        "Interpreter: litert, tflite, onnxruntime, numpy or native; repeatable.", "all that step it")] = None,
    keras: Annotated[Path | None, opt.model("Keras file or run folder to measure too.", "none")] = None,
    rounds: Annotated[int, opt.output("Number of rounds; each variant has a turn in each.", min=1)] = 9,
    plot: opt.Plot = None,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Measure the time of every way to step a model file on this machine, side by side in one process.

    Example: stepcell bench build/memory/model.tflite --keras runs/memory
    """
    from ...runtime import load, read_model_file
    from ...runtime.bench.measurement import measure_variants
    from ...runtime.bench.report import as_json as to_json
    from ...runtime.bench.report import as_rows, draw, machine
    from ...runtime.common.atomic_write import atomic_write, make_folder
    from ...runtime.common.errors import BackendError, WrongBackendError
    from ...runtime.common.terminal import import_silently, print_table, print_text, silence_stderr, status
    from ...runtime.interpreters.probe import usable_backends
    from ..sources.source import read_source

    format = read_model_file(file).format
    with silence_stderr():
        names = backend or list(usable_backends(format))  # before TensorFlow, which tflite-runtime cannot follow
        left_out: list[str] = []
        for name in tuple(names):  # or a file that does not load would be refused after minutes
            try:
                load(file, backend=name)
            except (BackendError, WrongBackendError) as error:
                if backend or len(names) == 1:
                    raise
                names.remove(name)
                left_out.append(str(error))
    if plot is not None:
        make_folder(plot.parent)
    more = None
    if keras is not None:
        source = read_source(keras)
        import_silently("tensorflow")
        more = keras_variants(source.model)
    found = []
    with status() as progress:
        for number, name in enumerate(names):
            options = {"more": more} if more is not None and number == 0 else {}
            with silence_stderr():
                found.append(measure_variants(file, name, rounds=rounds, progress=progress, **options))
    if plot is not None:
        atomic_write(plot, draw(found, f"A step of {file.name}"))
    if as_json:
        print(json.dumps({"file": str(file), "machine": machine(), "measurements": to_json(found)}))
        return
    print(machine())
    print_table(*as_rows(found))
    for reason in left_out:
        print_text(f"left out: {reason}", err=True)


def keras_variants(keras_model: KerasModel, *, one_hot: bool = False) -> Any:
    """Return the variants of stepping `keras_model`, as a function of the loaded file for `measure_variants`.

    Each is a call with one time step and without a state: the cost of a call of Keras, independent of the network.
    """
    import numpy as np
    import tensorflow as tf

    from ...runtime.bench.variants import Variant
    from ..layers.keras_graph import as_given
    from ..parity.sample_inputs import random_inputs
    from ..step_function.build import build_step_function

    interface = build_step_function(keras_model, one_hot=one_hot).interface
    inputs = random_inputs(interface, 1, 0)
    given: list[Any] = []
    for number in range(len(keras_model.inputs)):
        if number == interface.symbol:
            row = np.eye(interface.symbols, dtype=np.float32)[inputs.ids] if interface.one_hot else inputs.ids
        else:
            row = inputs.features[interface.features[number].name]
        given.append(tf.constant(row[None]))
    x = as_given(keras_model, given)
    compiled = tf.function(lambda value: keras_model(value, training=False))
    steps = {
        "tf.function of the Keras model": lambda: compiled(x),
        "Keras model(x)": lambda: keras_model(x, training=False),
        "Keras model.predict(x)": lambda: keras_model.predict(x, verbose=0),
    }

    def variants(model: Model) -> Sequence[Variant]:
        counts = zip(steps.items(), (50, 10, 3), strict=True)
        return [Variant(name, _loop(step), symbols=count) for (name, step), count in counts]

    return variants


def _loop(step: Any) -> Any:
    step()  # the first call compiles

    def loop(ids: Ids) -> tuple[int, int]:
        start = thread_time_ns()
        for _ in range(len(ids)):
            step()
        return thread_time_ns() - start, len(ids)

    return loop
