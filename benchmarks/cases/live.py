"""Cases of live lines and of the promises of `stepcell predict`: some of D3 to D25 and of R1 to R12."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepcell.runtime import Vocabulary, load, read_model_file
from stepcell.runtime.format.model_file import pack

from . import MEMORY, MODELS, Row, json_lines, stepcell

END, UNKNOWN = "<end>", "<unknown>"
PLAIN = Vocabulary(("open", "pick", "ship", UNKNOWN, END), UNKNOWN)
HOME = Vocabulary(("lamp=on", UNKNOWN, "gap<1min", "gap>=1min", END), UNKNOWN)
READING = {
    "kind": "events", "symbol": ["entity", "state"], "sequence": "day", "order": "time", "gaps": "1min",
    "format": "csv", "delimiter": ",", "header": True,
}  # fmt: skip
TABLE = "entity,state,day,time,id\nlamp,on,d0,2024-01-01T07:00:00,1\nlamp,on,d0,2024-01-01T07:00:30,2\n"


def _model(folder: Path, vocabulary: Vocabulary, reading: Any) -> Path:
    """Write the memory model with other symbols and a description of training data."""
    file = read_model_file(MEMORY)
    training = {"data": {"reading": reading, "end": END}}
    path = folder / "model.tflite"
    path.write_bytes(pack(file.payload, replace(file.manifest, vocabulary=vocabulary, training=training), file.format))
    return path


def _plain(folder: Path) -> Path:
    return _model(folder, PLAIN, {"kind": "events", "symbol": "event"})


def _after(model: Path, *symbols: str) -> float:
    stream = load(model).stream()
    stream.absorb(symbols)
    return round(stream.prediction.probability, 6) if stream.prediction is not None else 0.0


def _answers(model: Path, *options: object, input: str) -> list[Any]:
    return json_lines(stepcell("predict", model, "--json", *options, input=input).stdout)


def case_D3(folder: Path) -> Row:  # noqa: N802
    """An unknown symbol is said in JSON and counted; stop and skip are obeyed; a table of the training is read."""
    model = _plain(folder)
    done = stepcell("predict", model, "--json", input="opn\n")
    seen: list[Any] = [json.loads(done.stdout)["unknown"], "does not know: 1" in done.stderr]
    seen.append(stepcell("predict", model, "--unknown", "stop", input="open\nopn\n").returncode)
    seen.append(_answers(model, "--unknown", "skip", input="opn\n"))
    seen.append([one["input"] for one in _answers(_model(folder, HOME, READING), input=TABLE)])
    return Row("opn; the CSV of training", [True, True, 1, [{"input": "opn", "unknown": True}], ["lamp=on"] * 2], seen)


def case_D5(folder: Path) -> Row:  # noqa: N802
    """Line ends, empty lines and a byte order mark are no symbols."""
    model = _plain(folder)
    lines = ("open\n\npick\n", "open\r\n\r\npick\r\n", "\ufeffopen\npick")
    seen = [[one["probability"] for one in _answers(model, input=text)][-1] for text in lines]
    return Row("open, an empty line, pick", [_after(model, END, "open", "pick")] * 3, seen)


def case_D15(folder: Path) -> Row:  # noqa: N802
    """predict, generate and Python begin with the end symbol; --middle does not."""
    model = _plain(folder)
    stream = load(model).stream()
    drawn = list(stream.generate(1, prompt=["open"], greedy=True))
    one = load(model).stream()
    one.absorb([END, "open"])
    expected = one.prediction.symbol if one.prediction is not None else ""
    seen = [_answers(model, input="open\n")[0]["probability"], drawn[0]]
    seen.append(_answers(model, "--middle", input="open\n")[0]["probability"])
    seen.append(round(float(load(model).stream().score(["open"]).ranks[0]), 0) > 0)
    return Row("open", [_after(model, END, "open"), expected, _after(model, "open"), True], seen)


def case_D16(folder: Path) -> Row:  # noqa: N802
    """Rows are read with the columns of the training: joined, gaps computed, other fields passed through."""
    model = _model(folder, HOME, READING)
    found = _answers(model, "--format", "csv", input=TABLE)
    stream = load(model).stream()
    stream.absorb([END, "lamp=on", "lamp=on"])
    events = stream.step("gap<1min").probabilities[[0, 4]]
    right = [["lamp=on", "1"], ["lamp=on", "2"], round(float(events.max()), 6)]
    return Row("two rows, 30 s apart", right, [*[[one["input"], one["id"]] for one in found], found[-1]["probability"]])


def case_D18(folder: Path) -> Row:  # noqa: N802
    """One sigmoid unit is two labels where there are two, else a number."""
    import numpy as np

    from stepcell.runtime.streams.prediction import Prediction, prediction_to_json

    values = np.array([0.37], np.float32)
    seen = [
        prediction_to_json(Prediction(values, ("0",)), 1),
        prediction_to_json(Prediction(values, ("no", "fall")), 1),
    ]
    return Row("0.37", [{"probability": 0.37}, {"symbol": "no", "probability": 0.63}], seen)


def case_D19(folder: Path) -> Row:  # noqa: N802
    """With a threshold the input and its surprise come first, then the prediction."""
    from stepcell.runtime import calibrate

    calibrate(load(MEMORY), ["30123", "40124"] * 60).save(folder / "t")
    lines = stepcell("predict", MEMORY, "--threshold", folder / "t", input="4\n0\n3\n").stdout.splitlines()
    seen = [[line.split("\t")[0] for line in lines], lines[-1].split("\t")[1].endswith("alarm")]
    return Row("4 0 3", [["4", "0", "3"], True], seen)


def case_D20(folder: Path) -> Row:  # noqa: N802
    """A bad line stops, or is skipped, counted and said; the position goes on."""
    log = folder / "log"
    log.write_text('{"m": "a", "e": 3}\n{bad\n{"m": "a"}\n{"m": "a", "e": 0}\n')
    options = ("--key", "m", "--symbol-field", "e", "--input", log, "--state", folder / "s")
    seen: list[Any] = [stepcell("predict", MEMORY, *options).returncode]
    done = stepcell("predict", MEMORY, *options, "--bad-lines", "skip", "--json")
    seen += [["error" in one for one in json_lines(done.stdout)], "could not be read: 2" in done.stderr]
    seen.append(stepcell("predict", MEMORY, *options).stdout)
    return Row("{bad; no symbol", [1, [True, True, False], True, ""], seen)


def case_D24(folder: Path) -> Row:  # noqa: N802
    """A symbol, and {"reset": true}, begin a new sequence."""
    model = _plain(folder)
    found = _answers(model, "--reset-on", END, input=f"open\n{END}\nopen\n")
    lines = '{"m": 1, "e": 3}\n{"m": 1, "reset": true}\n{"m": 1, "e": 3}\n'
    keyed = _answers(MEMORY, "--key", "m", "--symbol-field", "e", input=lines)
    return Row("open <end> open; reset", [True, True], [found[0] == found[2], keyed[0] == keyed[2]])


def case_D25(folder: Path) -> Row:  # noqa: N802
    """State arrays that are returned are read-only; a long line is not echoed whole."""
    stream = load(MEMORY).stream()
    try:
        stream.state["h0"][:] = 1.0
        seen: list[Any] = ["changed nothing, silently"]
    except ValueError:
        seen = ["refused"]
    line = json.dumps([0.123456789] * 4) + " " * 800
    seen.append(len(_answers(MODELS / "sensor.tflite", input=line + "\n")[0]["input"]) < 100)
    return Row("state['h0'][:] = 1; a line of 800 characters", ["refused", True], seen)


def _start(folder: Path, number: int, *options: object) -> tuple[subprocess.Popen[bytes], Path]:
    out = folder / f"out{number}"
    command = [sys.executable, "-m", "stepcell.cli", "predict", str(MEMORY), *map(str, options)]
    with open(out, "wb") as file:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.DEVNULL), out


def _wait(out: Path, lines: int) -> None:
    until = time.monotonic() + 60
    while out.read_bytes().count(b"\n") < lines and time.monotonic() < until:
        time.sleep(0.05)


def case_R1(folder: Path) -> Row:  # noqa: N802
    """A kill after a rotation repeats answers, and changes none."""
    log, options = folder / "f.log", ("--input", folder / "f.log", "--follow", "--state", folder / "s")
    log.write_text("4\n0\n")
    process, out = _start(folder, 1, *options)
    _wait(out, 2)
    log.rename(folder / "f.log.1")
    log.write_text("1\n2\n")
    _wait(out, 4)
    process.kill()
    process.wait()
    return Row("kill -9 after a rotation", "2\n4\n", stepcell("predict", MEMORY, *options[:2], *options[3:]).stdout)


def case_R2(folder: Path) -> Row:  # noqa: N802
    """SIGTERM: the lines that were taken from a pipe are answered."""
    process, out = _start(folder, 1, "--state", folder / "s")
    assert process.stdin is not None
    process.stdin.write(b"4\n0\n1\n2\n" * 3_000)
    process.stdin.flush()
    _wait(out, 10)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    rest = os.get_blocking(process.stdin.fileno())  # what is left in the pipe belongs to its next reader
    answered = out.read_bytes().count(b"\n")
    said = stepcell("predict", MEMORY, "--state", folder / "s").stderr
    return Row("12,000 lines, SIGTERM", [-signal.SIGTERM, True, True], [
        process.returncode, f"{answered} lines read" in said, rest and answered >= 12_000
    ])  # fmt: skip


def case_R3(folder: Path) -> Row:  # noqa: N802
    """Answers in a file are synced before the state is saved."""
    from stepcell.runtime.serve.loop import IOOptions, predict_lines
    from stepcell.runtime.serve.session import LineOptions

    events: list[str] = []
    log = folder / "log"
    log.write_text("4\n0\n")
    io = IOOptions(input=log, state=folder / "s", save_every=1)
    predict_lines(
        load(MEMORY), LineOptions(), io, None, events.append, lambda _: None, sync=lambda: events.append("sync")
    )
    return Row("4 0", ["sync", "0", "sync", "1", "sync"], events)


def case_R4(folder: Path) -> Row:  # noqa: N802
    """A poison line is a message, and what came before it is saved."""
    seen = []
    for number, line in enumerate(('{"m": "\\ud800", "e": 3}', "[" * 100_000)):
        log, state = folder / f"log{number}", folder / f"s{number}"
        log.write_text('{"m": "a", "e": 3}\n' + line + "\n")
        options = ("--key", "m", "--symbol-field", "e", "--input", log, "--state", state)
        first, second = (stepcell("predict", MEMORY, *options) for _ in range(2))
        seen.append((first.returncode, "Traceback" in first.stderr, len(first.stdout) > 0, second.stdout))
    return Row("half a surrogate pair; [[[[...", [(1, False, True, "")] * 2, seen)


def case_R11(folder: Path) -> Row:  # noqa: N802
    """An answer is one write."""
    import contextlib
    import io

    from stepcell.runtime.commands.predict import print_answer

    writes: list[str] = []

    class Unbuffered(io.StringIO):
        """A stream that keeps its writes apart."""

        def write(self, text: str) -> int:
            """Keep a write."""
            writes.append(text)
            return len(text)

    with contextlib.redirect_stdout(Unbuffered()):
        print_answer("0")
    return Row("0", ["0\n"], writes)


def case_R12(folder: Path) -> Row:  # noqa: N802
    """A link to a state stays one."""
    (folder / "link").symlink_to(folder / "real")
    stepcell("predict", MEMORY, "--state", folder / "link", input="4\n0\n")
    found = stepcell("predict", MEMORY, "--state", folder / "real", input="1\n").stdout
    return Row("--state LINK", [True, "2\n"], [(folder / "link").is_symlink(), found])
