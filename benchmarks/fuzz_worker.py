"""One process of benchmarks/fuzz.py: damages and reads its share of the cases, and says what came of each.

A model file or state that was damaged and not packed again must be refused whatever the damage is; any other may be
fine or refused. How the readings of other files are judged stands in fuzz_kinds.py. Before each trial it prints the
trial, so that fuzz.py knows which one the process crashed on; the damaged file stands in the folder WORK/trial then. A
crash, an error that is none of stepcell's, a wrong reading, more than a gigabyte of memory or ten seconds of processor
time are findings; their files are copied to the folder KEEP.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_content import damaged_content
from fuzz_damage import GRAPH, PLAIN, STATE_SUFFIX, damaged

from stepcell.runtime import Model, StepcellError, load
from stepcell.runtime.format.manifest import Manifest
from stepcell.runtime.interpreters.probe import probe_backends
from stepcell.runtime.interpreters.registry import NATIVE, NUMPY, backends_for

MODELS, KERAS, KERAS2 = "models", "keras models", "keras 2 models"  # kinds that are not in fuzz_kinds.py
SUFFIXES = (".tflite", ".onnx", STATE_SUFFIX)
SECONDS = 10
MEMORY = 2**30  # bytes of address space for a trial, beyond what the process had before


class TooLongError(BaseException):
    """A trial takes too long; nothing should catch this."""


def main() -> None:
    """Try the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", help=f"{MODELS!r}, {KERAS!r}, {KERAS2!r} or one of fuzz_kinds.py")
    parser.add_argument("files", type=Path, help="folder of valid model files and states")
    parser.add_argument("work", type=Path, help="folder for the files of trials")
    parser.add_argument("keep", type=Path, help="folder for the files of findings")
    parser.add_argument("seed", type=int)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGPROF, _too_long)
    trials = Models(arguments) if arguments.kind == MODELS else Files(arguments)
    with open("/proc/self/statm") as memory:
        limit = int(memory.read().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(arguments.first, arguments.last):
        trials.run(number, random.Random(f"{arguments.seed}/{number}"))


class Trials:
    """Trials of one kind of file."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Begin; `arguments` are those of the command line."""
        self.arguments = arguments
        self.folder = arguments.work / "trial"
        self.folder.mkdir(parents=True)

    def say(self, number: int, name: str, content: bytes, result: str, *, refused: bool = False) -> None:
        """Print what came of a trial, and keep the file of a finding; `refused`: it should have been."""
        if refused and result == "fine":
            result = "FINDING: it is damaged and was taken"
        if result.startswith("FINDING"):
            self.arguments.keep.mkdir(parents=True, exist_ok=True)
            kept = f"{self.arguments.kind} {self.arguments.seed} {number} {name}".replace(" ", "-").replace("/", "-")
            (self.arguments.keep / kept).write_bytes(content)  # its file may have been repaired meanwhile
        print(f"= {result}", flush=True)


class Models(Trials):
    """Model files on all interpreters, and saved states."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read the valid files."""
        super().__init__(arguments)
        folder = arguments.files
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES}
        self._models = {name: load(folder / name) for name in self._files if f"{name}{STATE_SUFFIX}" in self._files}
        self._usable = {name for name, problem in probe_backends().items() if problem is None}

    def run(self, number: int, dice: random.Random) -> None:
        """Damage a file and load it."""
        name = dice.choice(list(self._files))
        content, kind = damaged(self._files, name, dice)
        path = self.folder / name
        path.write_bytes(content)
        refused = kind in [way.__name__ for way in PLAIN] and content != self._files[name]
        if name.endswith(STATE_SUFFIX):
            print(f"case {number} {name} ({kind})", flush=True)
            result = _guarded(_restore_and_step, self._models[name.removesuffix(STATE_SUFFIX)], path)
            self.say(number, name, content, result, refused=refused)
        else:
            backends = [name for name in backends_for(path.suffix[1:]) if name in self._usable]
            readers = [name for name in (NUMPY, NATIVE) if name in self._usable]  # interpreters may crash
            for backend in readers if kind == GRAPH else backends:
                print(f"case {number} {name} ({kind}) on {backend}", flush=True)
                self.say(number, name, content, _guarded(_load_and_step, path, backend), refused=refused)
        path.unlink()


class Files(Trials):
    """Files of a kind of fuzz_kinds.py, or Keras models in full."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Make the valid files, and read each, so that all imports come before the limits."""
        super().__init__(arguments)
        if arguments.kind == KERAS:
            from fuzz_keras import keras_kind

            self._kind = keras_kind(arguments.files)
        elif arguments.kind == KERAS2:
            from fuzz_keras2 import keras2_kind

            self._kind = keras2_kind()
        else:
            from fuzz_kinds import KINDS

            self._kind = KINDS[arguments.kind]
        self._valid = arguments.work / "valid"
        self._valid.mkdir()
        self._kind.make(self._valid)
        for name in self._kind.files:
            self._copy()
            self._kind.read(self.folder, name)

    def run(self, number: int, dice: random.Random) -> None:
        """Damage a file and read it."""
        name = dice.choice(self._kind.files)
        self._copy()
        content, kind = damaged_content(self._valid / name, dice)
        (self.folder / name).write_bytes(content)
        print(f"case {number} {name} ({kind})", flush=True)
        result = _guarded(self._kind.read, self.folder, name)
        self.say(number, name, content, result)

    def _copy(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._valid, self.folder)


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


def _too_long(*_: Any) -> None:
    raise TooLongError


if __name__ == "__main__":
    main()
