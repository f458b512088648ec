"""Cases J1 to J5, D22, D23: predictions, labels and judgements."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from stepcell.runtime import Vocabulary
from stepcell.runtime.data import Corpus, EventsReader, HeldOut, Recording, encode_sequences
from stepcell.runtime.data.learned import LearnedData, without_learned

from . import MEMORY, MODELS, Row, stepcell


def _evaluation(*arguments: object) -> dict[str, Any]:
    return dict(json.loads(stepcell("evaluate", *arguments, "--json").stdout))


def case_J2(folder: Path) -> Row:  # noqa: N802
    """A new file is evaluated whole; n-grams learn from the training part, or are said to be missing."""
    new, old = folder / "new.lines", folder / "old.lines"
    new.write_text("3 0 1 2 3\n4 0 1 2 4\n" * 20)
    old.write_text("3 0 1 2 3\n4 0 1 2 4\n" * 60)
    options = ("--format", "lines", "--end", "")
    alone = _evaluation(MEMORY, new, *options)
    beside = _evaluation(MEMORY, new, *options, "--baseline-from", old)
    seen = [(found["sequences"], len(found["baselines"]) > 1) for found in (alone, beside)]
    hint = any("--baseline-from" in note for note in alone["notes"])
    return Row("40 new sequences; without and with training data", [(40, False), (40, True), True], [*seen, hint])


def case_J4(folder: Path) -> Row:  # noqa: N802
    """Each measure against the best of the table; n-grams beyond order 5; harm of the state is said."""
    data = folder / "long.lines"
    data.write_text("3 1 3 1 3 1 3 4\n4 1 4 1 4 1 4 3\n" * 40)
    found = _evaluation(MEMORY, data, "--format", "lines", "--end", "", "--baseline-from", data)
    table, best = found["baselines"], found["best_baselines"]
    bits = {name: one["bits_per_symbol"] for name, one in table.items() if "bits_per_symbol" in one}
    accuracy = {name: one["accuracy"] for name, one in table.items()}
    seen = [
        table[best["accuracy"]]["accuracy"] == max(accuracy.values()),
        best["bits_per_symbol"] == min(bits, key=bits.__getitem__),
        "7-gram with back-off" in bits,
        "bits more than without memory" in found["verdict"] or "probabilities are off" in found["verdict"],
    ]
    return Row("sequences that a 7-gram tells", [True] * 4, seen)


def case_D22(folder: Path) -> Row:  # noqa: N802
    """209 of 227 against 75 of 80 right is chance, and the positions are others."""
    code = (
        "from types import SimpleNamespace as N; from stepcell.train import Score, score_table\n"
        "scores = {'carried': Score(209 / 227, 1.0, 227, 227), 'windowed': Score(75 / 80, 1.0, 80, 25, "
        "carried_accuracy=74 / 80, standard_error=0.0125)}\n"
        "print(score_table(N(stopped='done', carried=1, scores=scores, history=[], network=N(values=None)), 25)[2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return Row("209 of 227 carried, 75 of 80 in windows", ("", 0), (done.stdout.strip(), done.returncode))


def case_D23(folder: Path) -> Row:  # noqa: N802
    """Labels and values are judged, scored and calibrated."""
    power, levels = folder / "power.csv", folder / "levels.csv"
    rows = [(n, n % 3, n % 5, n % 7, n % 2, n % 4) for n in range(200)]
    power.write_text("t,a,b,c,d,watts\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    levels.write_text("event,level\n" + "".join(f"{'abcdef'[n % 6]},{('low', 'high')[n % 2]}\n" for n in range(200)))
    numbers = [f"--feature=features={name}" for name in "abcd"]
    values = (MODELS / "sensor.tflite", power, "--target", "watts", "--target", "c", "--order", "t", *numbers)
    labels = (MODELS / "labelled.tflite", levels, "--target", "level", "--symbol", "event")
    table, judged = _evaluation(*values), _evaluation(*labels)
    watts = table["modes"]["carried"]["values"]["watts"]
    seen = [
        {"mean_absolute_error", "mean_squared_error"} <= set(watts),
        sorted(table["baselines"]),
        sum(map(sum, judged["confusion"])),
        {"accuracy", "nats_per_symbol"} <= set(judged["modes"]["carried"]),
        [stepcell("score", *each).returncode for each in (values, labels)],
        [stepcell("calibrate", *each, "--out", "threshold").returncode for each in (values, labels)],
    ]
    right = [True, ["the last value again", "the mean"], 200, True, [0, 0], [0, 0]]
    return Row("200 rows with right answers: evaluate, score, calibrate", right, seen)


def case_J1(folder: Path) -> Row:  # noqa: N802
    """An empty sequence is a sequence: the end comes at once."""
    (folder / "some.lines").write_text("3 0 1 2 3\n4 0 1 2 4\n\n\n\n")
    reader = EventsReader(format="lines", end="<end>")
    recording = reader.read(folder / "some.lines")
    encoded = encode_sequences(recording, Vocabulary(("0", "1", "2", "3", "4", "<end>")), "<end>")
    seen = [
        len(recording),
        len(encoded.starts) - 1,
        int(encoded.weights.sum()),
        "3 of 5 sequences are empty" in recording.remarks[0],
    ]
    return Row("2 sequences of 5 symbols, 3 empty lines", [5, 5, 15, True], seen)


def case_J3(folder: Path) -> Row:  # noqa: N802
    """In a log that has grown, sequences that were learned from are recognised and left out."""
    rows = "".join(f"c{case},2024-01-01T{step:02}:{case % 60:02},{what}\n" for case in range(100)
                   for step, what in enumerate("abc"))  # fmt: skip
    path = folder / "log.csv"
    path.write_text("case,time,what\n" + rows)
    reader = EventsReader("what", "case", "time")
    corpus = Corpus.of(reader.read(path), reader=reader, split=HeldOut(0.2))
    path.write_text("case,time,what\n" + rows + "c7,2024-01-02T00:00,a\nnew,2024-01-03T00:00,a\n")
    learned = LearnedData.from_json(json.loads(json.dumps(corpus.to_json()["learned"])))
    rest, known, note = without_learned(learned, reader.read(path))
    seen = [len(rest), 0 if known is None else len(known), note]
    return Row("100 cases, 80 learned from; one grows, one is new", [
        21, 80, "80 of its 101 sequences were learned from and are left out"], seen)  # fmt: skip


def case_J5(folder: Path) -> Row:  # noqa: N802
    """The last sequences, a split by time without tails of learned sequences, a file."""
    times = [[0, 9], [1, 2], [3, 4], [6, 7], [5, 8]]
    path = folder / "log.csv"
    path.write_text(
        "case,time,what\n" + "".join(f"{case},{time},x{case}\n" for case, one in enumerate(times) for time in one)
    )
    recording = EventsReader("what", "case", "time").read(path)

    def cases(part: Recording) -> list[str]:
        return sorted({symbol for index in range(len(part)) for symbol in part.sequence(index)})

    last, by_time = (HeldOut(0.4, by).split(recording)[1] for by in ("last", "time"))
    refused = stepcell("train", "events", path, "--symbol", "what", "--held-out", "no.csv", "--out", "run")
    seen = [cases(last), cases(by_time), refused.returncode, "no.csv" in refused.stderr]
    return Row("5 cases, one from 0 to 9", [["x3", "x4"], ["x3"], 1, True], seen)
