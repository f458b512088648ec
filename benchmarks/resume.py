"""A training killed with SIGKILL again and again must end with the weights of one that was left alone, bit for bit.

    python benchmarks/resume.py            # 20 kills, about 10 minutes on two cores
    python benchmarks/resume.py --kills 3

Two trainings with carried state and dropout: an echo, and a text in two layers. The moments are random from the start
of the process on: some hit the import of TensorFlow, some the compilation, most the training or the writing of a
checkpoint, which here happens every second.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

CODE = (
    "import sys; from stepcell.train import fit; fit.__kwdefaults__['checkpoint_seconds'] = 1.0\n"
    "from stepcell.cli import app; app(sys.argv[1:])"
)
COMMON = ["--seed", "4", "--dropout", "0.3"]
LONGEST = 30.0  # seconds until a kill


def trainings(folder: Path) -> dict[str, list[str]]:
    """Return the commands, by name; the text is written to `folder`."""
    text = folder / "text.txt"
    words = np.random.default_rng(0).choice(
        ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"], 20_000
    )
    text.write_text(" ".join(words))
    echo = ["echo", "--symbols", "30", "--lag", "4", "--units", "48", "--max-updates", "30000"]
    layers = ["text", str(text), "--units", "48", "--layers", "2", "--cell", "gru", "--max-updates", "4000"]
    return {"echo": [*echo, *COMMON], "text": [*layers, *COMMON]}


def start(arguments: list[str], out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start a training."""
    command = [sys.executable, "-c", CODE, "train", *arguments, "--out", str(out)]
    return subprocess.Popen(
        [*command, *(["--resume"] if resume else [])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def weights(out: Path) -> list[np.ndarray]:
    """Return the weights that a training has left behind."""
    return keras.models.load_model(out / "model.keras").get_weights()


def finish(arguments: list[str], out: Path, *, resume: bool) -> list[np.ndarray]:
    """Train to the end and return the weights."""
    if start(arguments, out, resume=resume).wait():
        sys.exit(f"Training ended with an error; see for yourself: stepcell train {' '.join(arguments)}")
    return weights(out)


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills altogether")
    kills = parser.parse_args().kills
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        commands = trainings(folder)
        for number, (name, arguments) in enumerate(commands.items()):
            out = folder / f"{name}-killed"
            done = 0
            share = len(range(number, kills, len(commands)))
            for _ in range(share):
                process = start(arguments, out, resume=(out / "run.json").exists())
                time.sleep(moments.uniform(1.0, LONGEST))
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
                    done += 1
                process.wait()
                if process.returncode == 0:
                    break
            finished = (out / "model.keras").exists()
            killed = weights(out) if finished else finish(arguments, out, resume=(out / "run.json").exists())
            left_alone = finish(arguments, folder / name, resume=False)
            equal = all(np.array_equal(one, other) for one, other in zip(killed, left_alone, strict=True))
            print(f"{name}: killed {done} times of {share}; weights {'equal' if equal else 'DIFFER'}", flush=True)
            if not equal:
                sys.exit(1)


if __name__ == "__main__":
    main()
