"""One process of benchmarks/fuzz.py: damages, loads and steps its share of the cases, and says what came of each.

A file that was damaged and not packed again must be refused whatever the damage is; any other may be fine or refused.
Before each trial it prints the trial, so that whoever started it knows what the process crashed on. An interpreter that
crashes, an error that is none of stepcell's, more than a gigabyte of memory or ten seconds of processor time are
findings.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import GRAPH, PLAIN, STATE_SUFFIX, damaged

from stepcell.runtime import Model, StepcellError, load
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.interpreters.probe import probe_backends
from stepcell.runtime.interpreters.registry import NUMPY, backends_for

SECONDS = 10
MEMORY = 2**30  # bytes of address space for a trial, beyond what the process had before


class TooLongError(BaseException):
    """A trial takes too long; nothing should catch this."""


def main() -> None:
    """Try the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGPROF, _too_long)
    files = {path.name: path.read_bytes() for path in sorted(arguments.folder.iterdir()) if path.is_file()}
    models = {name: load(arguments.folder / name) for name in files if f"{name}{STATE_SUFFIX}" in files}
    usable = {name for name, problem in probe_backends().items() if problem is None}
    with open("/proc/self/statm") as memory:
        limit = int(memory.read().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
        for number in range(arguments.first, arguments.last):
            dice = random.Random(f"{arguments.seed}/{number}")
            name = dice.choice(list(files))
            content, kind = damaged(files, name, dice)
            path = Path(folder, name)
            path.write_bytes(content)
            refused = kind in [way.__name__ for way in PLAIN] and content != files[name]
            if name.endswith(STATE_SUFFIX):
                print(f"case {number} {name} ({kind})", flush=True)
                _say(_guarded(_restore_and_step, models[name.removesuffix(STATE_SUFFIX)], path), refused=refused)
                continue
            backends = [name for name in backends_for(path.suffix[1:]) if name in usable]
            for backend in [NUMPY] if kind == GRAPH else backends:
                print(f"case {number} {name} ({kind}) on {backend}", flush=True)
                _say(_guarded(_load_and_step, path, backend), refused=refused)


def _guarded(work: Any, *arguments: Any) -> str:
    """Do `work`; return "fine", the name of one of our errors, or what is wrong with it."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        work(*arguments)
        return "fine"
    except StepcellError as error:
        return type(error).__name__
    except TooLongError:
        return f"FINDING: it takes longer than {SECONDS} s"
    except BaseException:
        return "FINDING: " + " | ".join(traceback.format_exc().strip().splitlines()[-5:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _load_and_step(path: Path, backend: str) -> None:
    model = load(path, backend=backend)
    manifest = model.manifest
    stream = model.stream()
    symbols = [manifest.vocabulary.symbols[id % len(manifest.vocabulary)] for id in (0, -1, 1, 0)]
    for symbol in symbols:
        stream.step(symbol, _features(manifest))
    if not manifest.features:
        stream.absorb(symbols)
        stream.run(symbols)
    stream.peek(symbols[0], _features(manifest))
    stream.fork().from_bytes(stream.to_bytes())


def _features(manifest: Manifest) -> dict[str, Any] | None:
    return {f.name: np.zeros(f.shape, f.dtype) for f in manifest.features} or None


def _restore_and_step(model: Model, path: Path) -> None:
    stream = model.stream()
    before = stream.to_bytes()
    try:
        stream.restore(path)
    except StepcellError:
        assert stream.to_bytes() == before, "the stream has moved"
        raise
    stream.step(model.vocabulary.symbols[0])


def _say(result: str, *, refused: bool) -> None:
    print("= FINDING: it is damaged and was taken" if refused and result == "fine" else f"= {result}", flush=True)


def _too_long(*_: Any) -> None:
    raise TooLongError


if __name__ == "__main__":
    main()
