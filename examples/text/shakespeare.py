"""A character model of tinyshakespeare: train, export, stream the last tenth through every exported file, generate.

curl -LO https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt
python examples/text/shakespeare.py input.txt
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stepcell.runtime.common.terminal import import_silently, print_table

import_silently("tensorflow")
from stepcell.export import export, read_source
from stepcell.runtime import load
from stepcell.runtime.evaluation import EvaluationModes, NGram, SymbolScores
from stepcell.train import Network, Options, Run, Text, fit, training_progress

UPDATES = 10_000  # of 64 lanes of 50 characters: 32 passes through the text
PROMPT = "ROMEO:\n"


def row(name: str, judged: SymbolScores) -> list[str]:
    """Return a row of the table."""
    return [name, f"{100 * judged.accuracy:.2f} %", f"{judged.nats:.4f}", f"{judged.bits:.4f}"]


def main() -> None:
    """Train, export, stream, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="input.txt of tinyshakespeare, 1,115,394 characters")
    parser.add_argument("--run", type=Path, default=Path("runs/shakespeare"), help="folder for the training run")
    parser.add_argument("--out", type=Path, default=Path("build/shakespeare"), help="folder for the model files")
    parser.add_argument("--units", type=int, default=125)
    parser.add_argument("--max-updates", type=int, default=UPDATES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trained", action="store_true", help="take the run in --run as it is")
    options = parser.parse_args()

    problem = Text.from_file(options.text, held_out=0.1)
    if not options.trained:
        network = Network("lstm", options.units)
        how = Options(seed=options.seed, max_updates=options.max_updates, threads=1)
        run = Run(options.run, problem, network, how)
        with training_progress() as show:
            run.finish(fit(problem, network, how, show))
    facts, metrics = (json.loads((options.run / name).read_text()) for name in ("run.json", "metrics.json"))
    size = f"LSTM {facts['network']['units']}, {facts['parameters']:,} parameters"
    print(f"{size}, after {facts['updates']:,} updates, {facts['seconds']} s")
    source = read_source(options.run)
    exported = export(
        source.model, options.out, name="shakespeare", vocabulary=source.vocabulary, quantize=["int8"],
        training=source.training, sample=source.sample, allow_inaccurate=["int8"],
    )  # fmt: skip

    learned, held_out = problem.corpus.encoded_train, problem.corpus.encoded_held_out
    keras = metrics["carried"]
    bits = f"{keras['bits_per_symbol']:.4f}"
    table = [["Keras", f"{100 * keras['accuracy']:.2f} %", f"{keras['nats_per_symbol']:.4f}", bits]]
    for path in exported.files:
        if path.suffix in (".tflite", ".onnx"):
            table.append(row(path.name, EvaluationModes(load(path), held_out).carried()))
    for order in range(1, 7):
        table.append(row(f"{order}-gram with back-off", NGram(learned, len(problem.vocabulary), order).score(held_out)))
    note = (
        f"the state carried over {int(held_out.weights.sum()):,} characters, never reset\n"
        "published: nanoGPT README, 4 layers of 128, CPU: 1.88 nats; 6 layers of 384, GPU: 1.4697"
    )
    print_table(["the last tenth, one character at a time", "accuracy", "nats", "bits"], table, note)
    smallest = next(path for path in exported.files if path.name == "model.int8.tflite")
    print(f"\n{smallest.name} goes on by itself:\n")
    said = load(smallest).stream().generate(400, prompt=PROMPT, temperature=0.7, seed=options.seed)
    print(PROMPT + "".join(said))


if __name__ == "__main__":
    main()
