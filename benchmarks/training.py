"""What training costs: CPU-seconds until solved over several seeds, and symbols per CPU-second against Keras.

    python benchmarks/training.py                       # everything, about half an hour
    python benchmarks/training.py memory echo-1         # some rows
    python benchmarks/training.py --seeds 3 recall-100

Everything is computed with one thread. A row is solved when its problem says so: on carried streams or on unseen
sequences, one symbol at a time. CPU-seconds include compilation. `corpus` compares symbols per CPU-second with
`model.fit(stateful=True)`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from stepcell.train import Alphabet, Echo, Memory, Network, Options, Order, Problem, Reber, Recall, Replay, fit
from stepcell.train.fitting.fit import use_threads
from stepcell.train.fitting.updater import Updater
from stepcell.train.network.built_network import BuiltNetwork
from stepcell.train.problems.problem import Batches

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Name -> problem, network, seeds unless told otherwise.
ROWS: dict[str, tuple[Callable[[], Problem], Network, int]] = {
    "memory": (Memory.conflicting, Network(units=20), 30),
    "alphabet": (lambda: Memory((tuple(ALPHABET),)), Network(units=32), 10),
    "context": (lambda: Memory((tuple("ABCDEFABCXYZ"),)), Network(units=24), 10),
    "patterns": (lambda: Memory((tuple("AAAABBBCCD"),)), Network(units=24), 10),
    "cyclic": (Alphabet, Network(units=32), 10),
    "scrambled": (lambda: Alphabet(scrambled=1), Network(units=32), 10),
    "variable": (lambda: Alphabet(cyclic=False), Network(units=32), 10),
    "memory-100": (lambda: Memory.conflicting(length=102), Network(units=64), 5),
    "memory-1000": (lambda: Memory.conflicting(length=1002), Network(units=64), 3),
    "reber": (Reber, Network(units=16), 10),
    "order": (Order, Network(units=32), 5),
    "echo-1": (lambda: Echo(100, 1), Network(units=64), 5),
    "echo-2": (lambda: Echo(100, 2), Network(units=64), 5),
    "echo-5": (lambda: Echo(100, 5), Network("gru", units=128), 5),
    "echo-10": (lambda: Echo(100, 10), Network("gru", units=256), 3),
    "missing": (lambda: Echo(100, 1, missing=0.2), Network(units=64), 5),
    "replay": (Replay, Network(units=64), 5),
    "reverse": (lambda: Replay(reverse=True), Network(units=64), 5),
    "recall-100": (lambda: Recall(100), Network(units=64), 10),
    "recall-500": (lambda: Recall(500), Network(units=64), 10),
    "recall-1000": (lambda: Recall(1000), Network(units=64), 10),
}
# Units, lanes, time steps; 96 symbols.
CORPUS = [(50, 32, 25), (64, 64, 64), (128, 64, 100), (256, 64, 64)]
SYMBOLS = 96


def solve(name: str, seeds: int | None) -> None:
    """Train one row with each seed and print how it went."""
    make, network, usual = ROWS[name]
    seconds, updates, accuracies, solved = [], [], [], 0
    for seed in range(seeds or usual):
        start = time.process_time()
        fitted = fit(make(), network, Options(seed=seed))
        seconds.append(time.process_time() - start)
        updates.append(fitted.history[-1].update)
        accuracies.append(fitted.scores[make().recipe.monitor].accuracy)
        solved += fitted.stopped == "solved"
    cost = f"CPU-s median {np.median(seconds):6.1f}  worst {max(seconds):6.1f}  updates {np.median(updates):6.0f}"
    how_well = f"solved {solved:>2} of {len(seconds):<3} worst accuracy {100 * min(accuracies):7.3f} %"
    print(f"{name:<12} {network.cell:<4} {network.units:<4} {how_well}  {cost}", flush=True)


def corpus() -> None:
    """Print symbols per CPU-second, ours and Keras's, in turns in one process."""
    for units, lanes, steps in CORPUS:
        random = np.random.default_rng(0)
        updates = max(4, 400_000 // (lanes * steps * max(1, units // 64)))
        ids = random.integers(0, SYMBOLS, (updates, steps, lanes), dtype=np.int32)
        ones = np.ones(ids.shape, np.float32)
        batches = Batches(ids, np.roll(ids, -1, 1), ones, np.zeros((updates, lanes), bool))
        network = BuiltNetwork.of(Network(units=units).build(SYMBOLS, SYMBOLS, 0))
        updater = Updater(network, seed=0, clip_norm=1.0, xla=True)
        layers = [
            keras.Input(batch_shape=(lanes, steps), dtype="int32"),
            keras.layers.Embedding(SYMBOLS, SYMBOLS, "identity", trainable=False),
            keras.layers.LSTM(units, return_sequences=True, stateful=True),
            keras.layers.Dense(SYMBOLS),
        ]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(global_clipnorm=1.0), loss)
        x = ids.transpose(0, 2, 1).reshape(-1, steps)
        y = np.roll(x, -1, 1)
        ways: dict[str, Callable[[], object]] = {
            "stepcell": lambda u=updater, b=batches: u.train(b, 0, 1e-3),
            "fit": lambda m=model, x=x, y=y, n=lanes: m.fit(x, y, batch_size=n, shuffle=False, verbose=0),
        }
        rates = dict.fromkeys(ways, 0.0)
        for turn in range(4):
            for way, run in ways.items():
                start = time.process_time()
                run()
                if turn:  # the first compiles
                    rates[way] = max(rates[way], ids.size / (time.process_time() - start))
        print(
            f"corpus U={units:<4} B={lanes:<3} T={steps:<4} stepcell {rates['stepcell']:>9,.0f}  model.fit "
            f"{rates['fit']:>9,.0f} symbols per CPU-second   ratio {rates['stepcell'] / rates['fit']:.2f}",
            flush=True,
        )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"{', '.join(ROWS)}, corpus; all by default")
    parser.add_argument("--seeds", type=int, help="how many seeds, from 0 on")
    arguments = parser.parse_args()
    use_threads(1, Network())  # CPU-seconds of several threads that wait for each other say little
    for row in arguments.rows or [*ROWS, "corpus"]:
        if row == "corpus":
            corpus()
        else:
            solve(row, arguments.seeds)


if __name__ == "__main__":
    main()
