"""Cases R1 to R15: kills, rotation, disks, stores, threads, hostile files, memory."""

from __future__ import annotations

import io
import os
import pickle
import pty
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from resource import RLIMIT_AS, setrlimit
from typing import Any

from stepcell.runtime import Model, SqliteStore, Vocabulary, load, read_model_file
from stepcell.runtime.format.model_file import pack, unpack
from stepcell.runtime.format.protobuf import bytes_field, varint

from . import MEMORY, MODELS, Row, json_lines, stepcell


def case_R8(folder: Path) -> Row:  # noqa: N802
    """Tables on a terminal are text."""
    model = changed(folder / "model.tflite", symbols=("[unk]", "[/b]", "[/INST]", "[bold]", ":smile:"))
    data = folder / "data.txt"
    data.write_text("".join(f"{symbol}\n" for symbol in ("[/b]", "[unk]", ":smile:", "[/b]", "[bold]", "[/INST]") * 50))
    code, shown = on_a_terminal("evaluate", model, data, "--format", "symbols", "--held-out", "0.5")
    names = [name for name in ("[unk]", "[/b]", "[bold]") if name in shown]
    return Row("evaluate, symbols [unk] [/b] ...", (0, ["[unk]", "[/b]", "[bold]"]), (code, names))


def case_R5(folder: Path) -> Row:  # noqa: N802
    """A key with half of a surrogate pair goes into a store and comes back, through an eviction and a restart."""
    model, key = load(MEMORY), "\ud800"
    seen = []
    with closing(SqliteStore(folder / "store", model.file)) as store:
        fleet = model.fleet(max_members=1, store=store)
        for symbol in "40":
            fleet.step({key: symbol})
            fleet.step({"other": "3"})
        fleet.flush()
    with closing(SqliteStore(folder / "store", model.file)) as store:
        fleet = model.fleet(max_members=1, store=store)
        found = fleet.step({key: "1"})
        seen += [key in list(store.keys()), found[key].symbol, fleet.snapshot(key).symbols_seen]
    stream = model.stream()
    stream.absorb("40")
    return Row("a fleet with the key '\\ud800'", [True, stream.step("1").symbol, 3], seen)


def case_R6(folder: Path) -> Row:  # noqa: N802
    """A fork while another thread steps."""
    model = load(MEMORY)
    mine, busy, ended = model.stream(), model.stream(), threading.Event()
    mine.step("3")

    def work() -> None:
        while not ended.is_set():
            busy.step("3")

    thread = threading.Thread(target=work)
    thread.start()
    seen = []
    for number in range(10):
        child = os.fork()
        if not child:
            signal.alarm(20)
            answer = (busy if number % 2 else mine).step("0").symbol
            os._exit(0 if number % 2 or answer == "1" else 1)
        seen.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    ended.set()
    thread.join()
    return Row("10 forks while a thread steps", [0] * 10, seen)


def case_R7(folder: Path) -> Row:  # noqa: N802
    """The memory of an export of 20,000 symbols with the default steps, and what a killed one leaves."""
    (folder / "export.py").write_text(WIDE)
    command = [sys.executable, "export.py", "build"]
    peak = subprocess.run(command, capture_output=True, timeout=900, text=True).stdout.split()[-1:]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        while "carried steps" not in process.stdout.readline():
            pass
        time.sleep(2)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
        process.kill()
    time.sleep(5)
    left = [each for each in children.stdout.split() if Path(f"/proc/{each}/cmdline").exists()]
    seen = [bool(peak) and int(peak[0]) < 2_000, bool(children.stdout.split()), left]
    return Row("export of 20,000 symbols; killed", [True, True, []], seen)


WIDE = """
import resource, sys, keras
from stepcell.export import export
source = keras.Input((None,), dtype="int32")
x = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(20_000, 8)(source))
model = keras.Model(source, keras.layers.Dense(20_000, "softmax")(x))
export(model, sys.argv[1], progress=lambda text: print(text, flush=True))
usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(max(usage) // 1024)  # MB of the largest process
"""


def case_R9(folder: Path) -> Row:  # noqa: N802
    """Of two trainings into one folder the second is refused, and the first is not disturbed."""
    train = ("train", "memory", "--max-updates", "400", "--units", "6", "--out", folder / "run")
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda seed: stepcell(*train, "--seed", seed, timeout=300), (1, 2)))
    codes = sorted(each.returncode for each in done)
    said = [each.stderr.strip().splitlines()[-1].split(": ")[-1] for each in done if each.returncode == 1]
    right = "another training writes there. Wait for its end, or give a folder of its own."
    return Row("two trainings into one folder", ([0, 1], [right]), (codes, said))


def case_R10(folder: Path) -> Row:  # noqa: N802
    """A store has one owner, a checksum for each row, and is neither of a later schema nor of another program."""
    model = load(MEMORY, backend="numpy")
    path, seen = folder / "fleet.db", []
    with SqliteStore(path, model.file) as store:
        fleet = model.fleet(store=store)
        fleet.step({"a": "3"})
        fleet.flush()
        seen.append(error_of(lambda: SqliteStore(path, model.file)))
    for statement in (
        "UPDATE streams SET state = CAST(substr(state, 1, 200) || x'01' || substr(state, 202) AS BLOB)",
        "UPDATE streams SET symbols_seen = NULL",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 99",
    ):
        copy = folder / "copy.db"
        copy.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(copy)) as database:
            seen.append(error_of(lambda: (database.execute(statement), database.commit())))  # noqa: B023
        seen.append(error_of(lambda: opened(copy, model)))  # noqa: B023
    right = ["OutputError", "", "DamagedStateError", "IntegrityError", "", "", "NewerStateError", "", "OutputError"]
    return Row("two owners, damage, NULL, later, foreign", right, seen)


def opened(path: Path, model: Model) -> None:
    """Read the key "a" of a store."""
    with SqliteStore(path, model.file) as store:
        store.get("a")


def error_of(work: Callable[[], object]) -> str:
    """Return the name of the error that a call raises; "": none."""
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return ""


def case_R14(folder: Path) -> Row:  # noqa: N802
    """Control characters of a model file do not reach a terminal."""
    symbols = ("a\x1b[2J", "b\x9b2J", "c\x7f", "d\u202e", "e\x07")
    model = changed(folder / "model.tflite", symbols=symbols, name="m\x1b[2J", producer="p\x9b2J")
    data = folder / "data.txt"
    data.write_text("".join(f"{symbol}\n" for symbol in symbols * 20))
    outputs = {
        " ".join(map(str, command[:1] + command[-1:])): stepcell(*command, input="\n".join(symbols) + "\n")
        for command in (
            ("predict", model, "--top", "3"),
            ("predict", model, "--json"),
            ("inspect", model),
            ("inspect", model, "--json"),
            ("doctor", model),
            ("doctor", model, "--json"),
            ("score", model, data, "--format", "symbols", "--per-symbol"),
            ("score", model, data, "--format", "symbols", "--per-symbol", "--json"),
            ("evaluate", model, data, "--format", "symbols"),
            ("evaluate", model, data, "--format", "symbols", "--json"),
            ("generate", model, "--prompt", "c\x7f", "--json"),
        )
    }
    raw = [name for name, done in outputs.items() if done.returncode not in (0,) or controls(done.stdout + done.stderr)]
    return Row("symbols with ESC, CSI, DEL, RLO", [], raw)


def case_R13(folder: Path) -> Row:  # noqa: N802
    """Damaged files end in a message, exit code 1."""
    log, nested = folder / "log.jsonl", "[" * 100_000
    (folder / "threshold.json").write_text('{"format": 1}')
    (folder / "digits.json").write_text(f"[{'9' * 5000}]")
    (folder / "nested.txt").write_text(nested)
    log.write_text(f'{{"symbol": {nested}}}\n')
    (folder / "run").mkdir()
    (folder / "run" / "model.keras").write_bytes(zipped({"config.json": b"{}"}))
    (folder / "run" / "run.json").write_text('{"vocabulary": ["a", "b"]}')
    (folder / "run" / "sample.jsonl").write_text("")
    (folder / "start.npz").write_bytes(zipped({"h0.npy": b"\x93NUMPY\x01\x00"}).replace(b"\x00\x00", b"\x63\x00"))
    state = folder / "many.state"
    sealed = load(MEMORY).stream().to_bytes()[:-32].replace(struct.pack("<QB", 0, 0), struct.pack("<QB", 2**64 - 1, 0))
    state.write_bytes(sealed + sha256(sealed).digest())
    commands = {
        "threshold": ("predict", MEMORY, "--threshold", "threshold.json"),
        "digits": ("adopt", MODELS / "foreign" / "helper.onnx", "--out", "x.onnx", "--vocabulary", "digits.json"),
        "nested": ("adopt", MODELS / "foreign" / "helper.onnx", "--out", "x.onnx", "--vocabulary", "nested.txt"),
        "lines": ("predict", MEMORY, "--symbol-field", "symbol", "--input", log),
        "events": ("train", "events", log, "--out", "trained"),
        "sample": ("export", "run", "--out", "build"),
        "state": ("predict", MEMORY, "--state", state),
        "start": ("export", "run", "--initial-state", "start.npz", "--out", "build"),
    }
    seen = {name: ending(stepcell(*command)) for name, command in commands.items()}
    return Row("8 damaged files", dict.fromkeys(commands, 1), seen)


def ending(done: subprocess.CompletedProcess[str]) -> object:
    """Return the exit code of a command, or the last line of its traceback."""
    return done.stderr.strip().splitlines()[-1] if "Traceback" in done.stderr else done.returncode


def zipped(members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def case_R15(folder: Path) -> Row:  # noqa: N802
    """A long line, a bomb, a vocabulary of newlines, weights in another file, pickling."""
    (folder / "long.txt").write_text("x" * 5_000_000 + "\n")
    seen: list[object] = [len(stepcell("score", MEMORY, "long.txt", "--format", "symbols").stderr) < 5000]
    (folder / "bomb.keras").write_bytes(zipped({"config.json": b"{}", "model.weights.h5": bytes(300_000_000)}))
    bomb = stepcell("export", "bomb.keras", "--out", "build", preexec_fn=lambda: setrlimit(RLIMIT_AS, (2**30, 2**30)))
    seen.append(ending(bomb))
    model = changed(folder / "model.tflite", symbols=("\n", "\\n", "a", "b", "c"))
    answers = json_lines(stepcell("predict", model, "--json", input="\\n\n\\\\n\n").stdout)
    seen.append([answer["input"] for answer in answers])
    file = read_model_file(MODELS / "memory.onnx")
    outside = file.payload.replace(b"location", b"LOCATION")
    tensor = bytes_field(8, b"w") + varint(14 << 3) + varint(1) + bytes_field(13, bytes_field(1, b"location"))
    sealed = pack(outside + bytes_field(7, bytes_field(5, tensor)), file.manifest, file.format)
    seen.append(error_of(lambda: unpack(sealed, "model.onnx")))
    seen.append(error_of(lambda: pickle.dumps(load(MEMORY).stream())))
    right = [True, 1, ["\n", "\\n"], "DamagedFileError", "OptionError"]
    return Row("long line, bomb, newlines, external, pickle", right, seen)


def changed(path: Path, *, symbols: tuple[str, ...] | None = None, **changes: Any) -> Path:
    """Write the memory model with other symbols and other changes to its manifest as `path`."""
    file = read_model_file(MEMORY)
    vocabulary = file.manifest.vocabulary if symbols is None else Vocabulary(symbols)
    path.write_bytes(pack(file.payload, replace(file.manifest, vocabulary=vocabulary, **changes), file.format))
    return path


def controls(text: str) -> set[str]:
    """Return the control characters in a text, but for newlines and tabs."""
    return {each for each in text if unicodedata.category(each) == "Cc" or each == "\u202e"} - {"\n", "\t"}


def on_a_terminal(*arguments: object) -> tuple[int, str]:
    """Run a command whose stdout and stderr are a terminal; return exit code and text."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stepcell.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "120"})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return process.wait(60), shown.decode(errors="replace")
