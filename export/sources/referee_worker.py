"""tf_keras in a process of its own: `python -m stepcell.export.sources.referee_worker`, started by `referee.py`.

It builds a model from a configuration, loads weights with the loaders of tf_keras and answers sequences with it.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from ...runtime.common.arrays import AnyArray
from ...runtime.common.run_worker import read_message, write_message


def answer(arrays: bytes, *, config: Mapping[str, Any], kind: str, weights: str, layers: bool) -> tuple[Any, bytes]:
    """Return version of tf_keras and names of layers, and the outputs: of the model, or of each of its layers.

    Args:
        arrays: The inputs, .npz: "0/1" is input 1 of sequence 0.
        config: A completed configuration of Keras 2.
        kind: How the weights are stored: "layers", "attributes" or "checkpoint".
        weights: Path of the weights.
        layers: Return the output of each layer too.
    """
    import numpy as np
    import tf_keras

    model = tf_keras.models.model_from_json(json.dumps(config))
    if kind == "layers":
        import h5py
        from tf_keras.src.saving.legacy import hdf5_format

        with h5py.File(weights, "r") as file:
            hdf5_format.load_weights_from_hdf5_group(file, model)
    else:
        loaded = model.load_weights(weights)
        if kind == "checkpoint":
            loaded.assert_existing_objects_matched().expect_partial()
    outputs = list(model.outputs)
    names: list[str] = []
    if layers:
        made = [(each.name, each.get_output_at(0)) for each in model.layers]
        made = [(name, output) for name, output in made if not isinstance(output, (list, tuple, dict))]
        names = [name for name, _ in made]
        outputs += [output for _, output in made]
    whole = tf_keras.Model(model.inputs, outputs)
    with np.load(io.BytesIO(arrays)) as given:
        found = dict(_run(whole, {name: given[name] for name in given.files}))
    packed = io.BytesIO()
    np.savez(packed, **found)
    return {"version": tf_keras.__version__, "layers": names}, packed.getvalue()


def _run(model: Any, given: Mapping[str, AnyArray]) -> Any:
    """Yield "sequence/output" and its numbers, each sequence from a reset state."""
    import numpy as np

    for number in sorted({name.split("/")[0] for name in given}, key=int):
        model.reset_states()
        inputs = [given[f"{number}/{index}"] for index in range(len(model.inputs))]
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        for index, output in enumerate(outputs):
            yield f"{number}/{index}", np.asarray(output)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer `requests` in order until they end. An exception is the failure of one request."""
    while (request := read_message(requests)) is not None:
        head, blobs = request
        head.pop("command")
        value, failure, made = None, None, b""
        try:
            value, made = answer(*blobs, **head)
        except Exception as error:
            failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        write_message(answers, {"value": value, "failure": failure}, [made])


if __name__ == "__main__":
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    serve(sys.stdin.buffer, messages)
