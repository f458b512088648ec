"""Random causal architectures through the whole export, on every interpreter installed here.

    python benchmarks/architectures.py --count 300
    python benchmarks/architectures.py --count 50 --kind rate
    python benchmarks/architectures.py --count 100 --kind window
    python benchmarks/architectures.py --count 300 --format c --steps 200
    python benchmarks/architectures.py --count 50 --format c --steps 200 --quantize int8

Each is exported (Keras on the whole sequence against the files one symbol at a time, carried from two states and step
by step), and then absorbed in chunks and with its state taken out and put back in the middle. One line each, as JSON,
which says whether the compiled engine was among the interpreters. With `--format c` it is exported as C alone. C with
int8 weights has to answer as numpy with the same weights; how many would be refused for what the rounding of random
weights costs, is said.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import keras
import numpy as np
from support.architectures import KINDS, difference_of_ways

from stepcell.export import export
from stepcell.export.ops.precision import FLOAT32
from stepcell.export.parity.device_process import installed_backends, those_that_take
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.format.model_file import FORMATS
from stepcell.runtime.interpreters.registry import NATIVE

TOLERANCE = 1e-5


def try_one(
    seed: int, steps: int, kind: str, formats: Sequence[str], quantize: Sequence[str], target: str | None = None
) -> dict[str, object]:
    """Export the architecture of `seed` and return what was measured, or the error."""
    random = np.random.default_rng(seed)
    keras.backend.clear_session()
    model = KINDS[kind](lambda options: options[random.integers(len(options))])
    layers = [type(layer).__name__ for layer in model.layers[1:]]
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            exported = export(
                model, folder, steps=steps, formats=formats, target=target, quantize=quantize, allow_inaccurate=quantize
            )
        except StepcellError as error:
            return {"seed": seed, "failed": str(error), "layers": layers}
        ids, cut = random.integers(0, model.output_shape[-1], 120), int(random.integers(1, 119))
        ways = [
            difference_of_ways(path, backend, ids, cut)
            for path in exported.files[:-1]
            if path.suffix[1:] in FORMATS and target is None
            for backend in those_that_take(path, installed_backends(path.suffix[1:]))
        ]
    exact = [parity for parity in exported.parity if parity.quantization == FLOAT32]
    proven = all(parity.holds for parity in exact) and max(ways, default=0) <= TOLERANCE
    return {
        "seed": seed,
        "failed": None if proven else "ways differ",
        "error": float(f"{max(parity.error for parity in exact):.1e}"),
        "rounding": float(f"{max(parity.rounding for parity in exact):.1e}"),
        **(
            {"ways": float(f"{max(ways):.1e}"), "engine": NATIVE in {p.backend for p in exported.parity}}
            if ways
            else {}
        ),
        **({"too_coarse": not all(parity.holds for parity in exported.parity)} if quantize else {}),
        "cpu_seconds": round(time.process_time() - began, 1),
        "layers": layers,
    }


def main() -> int:
    """Try all of them; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=300, help="how many architectures")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=1000, help="carried steps in the parity check")
    parser.add_argument("--kind", choices=list(KINDS), default="plain", help="what they are made of")
    parser.add_argument("--format", choices=["c"], help="instead of model files")
    parser.add_argument("--quantize", choices=["int8"], help="with --format c: C with int8 weights too")
    parser.add_argument("--target", choices=["tflm"], help="for TensorFlow Lite Micro instead of the usual files")
    options = parser.parse_args()
    formats, quantize = [options.format] if options.format else FORMATS, [options.quantize] if options.quantize else []
    formats = () if options.target else formats
    warnings.filterwarnings("ignore", message="Layer .* was passed an input with a mask")
    results = []
    for seed in range(options.first, options.first + options.count):
        results.append(try_one(seed, options.steps, options.kind, formats, quantize, options.target))
        print(json.dumps(results[-1]), flush=True)
    failed = [result["seed"] for result in results if result["failed"]]
    print(f"{len(results)} architectures, {len(failed)} failed {failed or ''}", file=sys.stderr)
    if any("engine" in result for result in results):
        print(
            f"{sum(not result.get('engine') for result in results)} not stepped by the compiled engine", file=sys.stderr
        )
    if quantize:
        coarse = sum(bool(result.get("too_coarse")) for result in results)
        print(f"{coarse} would be refused with int8 weights", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
