"""The kinds of files that commands read beside model files: a valid one of each, a reading, and how it is judged.

A trial reads the file with the code of the commands. It ends in one of stepcell's own errors, or in a reading that an
independent reader confirms: Python's own csv and json modules, numpy and pyarrow, from the same bytes. Files with a
checksum (stores, checkpoints) give the numbers that were written, or an error.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import random
import shutil
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stepcell.export import read_source, read_state_file, read_vocabulary
from stepcell.runtime import SqliteStore, StepcellError, Watch, load, read_threshold
from stepcell.runtime.common.arrays import AnyArray
from stepcell.runtime.data import EventsReader, Recording, SymbolsReader, TextReader
from stepcell.runtime.doctor.contents import read_contents
from stepcell.runtime.tasks.residuals import ResidualThreshold, read_residual_threshold
from stepcell.train.fitting.checkpoint import HistoryRow, Snapshot, TrainingState, read_checkpoint, write_checkpoint
from stepcell.train.problems.problem import Score
from stepcell.train.run.folder import read_plan

DATA = Path(__file__).resolve().parent.parent / "tests/data"
MODEL = DATA / "memory.onnx"
KEYS = [f"device {number}" for number in range(40)]
PLAN = {"producer": "stepcell", "problem": {"name": "memory", "length": 5}, "network": {"units": 8},
        "options": {"seed": 1, "max_updates": None}, "space": {"units": [4, 16]}}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        files: Names of the files in its folder; each trial damages one of them.
        make: Writes them to a folder.
        read: Reads the folder, in which the named file is damaged; raises AssertionError for a wrong reading.
    """

    files: tuple[str, ...]
    make: Callable[[Path], None]
    read: Callable[[Path, str], None]


@cache
def model() -> Any:
    """Return the model that states, stores and thresholds belong to, on numpy alone."""
    return load(MODEL, backend="numpy")


@cache
def values_model() -> Any:
    """Return a model that answers two values."""
    return load(DATA / "sensor.onnx", backend="numpy")


# Thresholds and vocabularies.


def _make_threshold(folder: Path) -> None:
    values = {"format": 1, "fingerprint": model().manifest.fingerprint, "symbol_bits": 3.25, "sequence_bits": 7.5,
              "false_alarms": 0.01, "symbols": 900, "sequences": 150}  # fmt: skip
    (folder / "normal.threshold").write_bytes(json.dumps(values, indent=2).encode() + b"\n")
    residuals = ResidualThreshold(values_model().manifest.fingerprint, ("a", "b"), (1.5, 2.5), (3.5, 4.5), 0.01, 900, 9)
    residuals.save(folder / "residuals.threshold")


def _read_threshold(folder: Path, name: str) -> None:
    if name == "residuals.threshold":
        read = read_residual_threshold(folder / name, values_model().file)
        numbers = np.array([*read.residuals, *(read.sequence_residuals or ())], np.float64)
        assert (np.isfinite(numbers) & (numbers >= 0)).all(), "a residual is 0 or more"
        assert 0 <= read.false_alarms < 1, "a share is between 0 and 1"
        assert read.rows > 0, "it was calibrated on something"
        return
    found = read_threshold(folder / name, model().file)
    written = json.loads((folder / name).read_bytes())
    assert all(value == written[key] for key, value in vars(found).items()), "other values than in the file"
    bits = (found.symbol_bits, 0.0 if found.sequence_bits is None else found.sequence_bits)
    assert all(0 <= float(each) < math.inf for each in bits), "a surprise is 0 or more"
    assert 0 < found.false_alarms < 1, "a share is between 0 and 1"
    assert found.symbols > 0, "it was calibrated on something"
    assert found.sequences >= 0, "a count is 0 or more"
    watch = Watch(model().stream(), found)
    for symbol in "3012":
        watch.step(symbol)


def _make_vocabularies(folder: Path) -> None:
    symbols = ["open", "close", "a b", "\u00e9", "1", "tab\\t", "<end>"]
    (folder / "lines.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
    (folder / "list.json").write_text(json.dumps(symbols), encoding="utf-8")
    ids = {symbol: id for id, symbol in enumerate(symbols)}
    (folder / "object.json").write_text(json.dumps(ids, indent=1), encoding="utf-8")


def _read_vocabulary(folder: Path, name: str) -> None:
    symbols = read_vocabulary(folder / name).symbols
    assert all(isinstance(symbol, str) and symbol and symbol.encode() for symbol in symbols), "a symbol is text"
    assert len(set(symbols)) == len(symbols), "a symbol has one id"
    text = (folder / name).read_bytes().decode("utf-8-sig")
    if name.endswith(".json"):
        found = json.loads(text)
        if isinstance(found, dict):
            assert sorted(found.values()) == list(range(len(found))), "the ids are 0, 1, ..."
            found = sorted(found, key=found.__getitem__)
        assert list(symbols) == found, "other symbols than in the file"
    elif not text.lstrip().startswith("["):
        assert len(symbols) == sum(bool(line.rstrip("\r")) for line in text.split("\n")), "a symbol is a line"


# Stores and checkpoints.


def _make_store(folder: Path) -> None:
    fleet = model().fleet(max_members=4, store=SqliteStore(folder / "fleet.db", model().file))
    dice = random.Random(3)
    for _ in range(5):
        fleet.step({key: dice.choice("01234") for key in dice.sample(KEYS, 30)})
    fleet.flush()
    database = sqlite3.connect(folder / "fleet.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


@cache
def _members(folder: Path) -> dict[str, Any]:
    """Return the members of the valid store in `folder`; a copy is read, because reading makes files beside it."""
    copy = folder.with_name("copy of the store")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    store = SqliteStore(copy / "fleet.db", model().file)
    return {key: store.get(key) for key in KEYS}


def _read_store(folder: Path, name: str) -> None:
    right = _members(folder.parent / "valid")
    store = SqliteStore(folder / name, model().file)
    try:
        list(store.keys())
        for key, snapshot in right.items():
            try:
                found = store.get(key)
            except StepcellError:
                continue
            if found is None or snapshot is None:
                assert found is snapshot, f"the member {key!r} has vanished"
                continue
            assert found.symbols_seen == snapshot.symbols_seen, f"{key!r} has another count"
            assert all(np.array_equal(found.state[each], snapshot.state[each]) for each in snapshot.state), (
                f"{key!r} has another state"
            )
    finally:
        store.close()


def _make_checkpoint(folder: Path) -> None:
    score = Score(0.75, 0.5, 100, 1000, 0.25)
    rows = [HistoryRow(n, n * 0.5, n / 10, 1e-3, 2.0 / n, 0.5, score if n % 2 else None, 0) for n in range(1, 6)]
    random = np.random.default_rng(4)
    weights = tuple(random.normal(size=shape).astype("f4") for shape in ((4, 8), (8, 8), (8,)))
    state = TrainingState(rows, 0.5, weights, 1)
    snapshot = Snapshot(weights, (np.array(5), *weights), (np.zeros((2, 8), "f4"),))
    write_checkpoint(folder / "checkpoint.npz", state, snapshot)


def _read_checkpoint(folder: Path, name: str) -> None:
    state, snapshot = read_checkpoint(folder / name)
    expected, arrays = read_checkpoint(folder.parent / "valid" / name)
    for found, right in zip(_all_of(state, snapshot), _all_of(expected, arrays), strict=True):
        assert np.array_equal(found, right), "other numbers than were written"


def _all_of(state: TrainingState, snapshot: Snapshot) -> list[Any]:
    rows = [tuple(map(str, vars(row).values())) for row in state.history]
    plain = (len(rows), *rows, state.best_nats, state.evaluations_since, state.stopped)
    return [*plain, *state.best_weights, *snapshot.weights, *snapshot.optimizer, *snapshot.carried]


# Run folders, plans, start states, results and trials.


def _make_run(folder: Path, *, records: bool) -> None:
    run = {**PLAN, "vocabulary": list("abcde"), "unknown": None, "labels": None, "stopped": "solved",
           "training": {"problem": "memory", "accuracy": 0.98, "longest_length": 5}}  # fmt: skip
    (folder / "run.json").write_bytes(json.dumps(run, indent=2).encode())
    (folder / "metrics.json").write_bytes(b'{"carried": {"accuracy": 0.98}}\n')
    (folder / "history.csv").write_bytes(b"update,seconds,loss\n10,0.5,1.25\n20,1.0,0.75\n")
    if records:
        lines = [json.dumps({"symbol": "abcde"[n % 5], "speed": [n / 7], "gap": [float(n)]}) for n in range(30)]
        (folder / "sample.jsonl").write_text("\n".join(lines) + "\n")
    else:
        (folder / "sample.txt").write_text("\n".join("abcde"[n % 5] for n in range(30)) + "\n")
    np.savez(folder / "initial_state.npz", h0=np.linspace(-1, 1, 8, dtype="f4")[None], c0=np.zeros((1, 8), "f4"))
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("config.json", json.dumps({"module": "keras", "class_name": "Sequential", "config": {}}))
        archive.writestr("model.weights.h5", bytes(range(256)) * 8)


def _make_runs(folder: Path) -> None:
    for name, records in (("plain", False), ("features", True)):
        (folder / name).mkdir()
        _make_run(folder / name, records=records)


def _read_run(folder: Path, name: str) -> None:
    source = read_source((folder / name).parent)
    written = json.loads((folder / name).with_name("run.json").read_bytes())
    if source.vocabulary is not None:
        assert list(source.vocabulary.symbols) == written["vocabulary"], "other symbols than in the file"
        if source.sample is not None:
            with contextlib.suppress(StepcellError):  # the export says so
                source.vocabulary.encode_all(source.sample)
    for each, values in source.sample_features.items():
        assert values.dtype == np.float32, f"{each} is no float32"
        assert np.isfinite(values).all(), f"{each} is not finite"
        assert len(values) == len(source.sample or ()), f"{each} has another length than the sample"
    _check_state(source.initial_state or {})
    assert isinstance(source.training, dict), "facts have names"
    if Path(name).name in ("metrics.json", "history.csv"):  # no command reads them
        assert source.sample == read_source((folder.parent / "valid" / name).parent).sample, "another sample"


def _check_state(state: Mapping[str, AnyArray]) -> None:
    for each, values in state.items():
        assert values.dtype.kind in "fiu", f"{each} holds no numbers"
        assert np.isfinite(values).all(), f"{each} is not finite"


def _make_state(folder: Path) -> None:
    np.savez(folder / "state.npz", h0=np.linspace(-1, 1, 8, dtype="f4")[None], c0=np.zeros((1, 8), "f4"))
    np.savez_compressed(folder / "packed.npz", h0=np.ones((1, 8)))


def _read_state(folder: Path, name: str) -> None:
    _check_state(read_state_file(folder / name))


def _make_plans(folder: Path) -> None:
    for name in ("run.json", "search.json"):
        (folder / name).write_bytes(json.dumps({**PLAN, "stopped": None}, indent=2).encode())


def _read_plan(folder: Path, name: str) -> None:
    parts = ("problem", "network", "options") if name == "run.json" else ("problem", "options", "space")
    read_plan(folder / name, PLAN, parts, name.removesuffix(".json"))
    written = json.loads((folder / name).read_bytes())
    assert all(written[part] == PLAN[part] for part in parts), "another plan was taken"


def _make_results(folder: Path) -> None:
    outcome = {"accuracy": 0.9, "streamed": None, "cpu_seconds": 12.5, "details": {"long": 0.5, "text": "abc"}}
    results = [{"system": "echo", "way": "stepcell", "recipe": "GRU 8", "seed": n, "outcome": outcome} for n in (0, 1)]
    (folder / "results.json").write_bytes(json.dumps(results, indent=1).encode())


def _read_results(folder: Path, name: str) -> None:
    from stepcell.train.reproduce.reproduction import Reproduction

    for result in Reproduction((folder / name).parent).results:
        assert isinstance(result.system, str), "a system has a name"
        assert isinstance(result.seed, int), "a seed is an integer"
        outcome = result.outcome
        assert 0 <= outcome.accuracy <= 1, "an accuracy is between 0 and 1"
        assert outcome.streamed is None or 0 <= outcome.streamed <= 1, "an accuracy is between 0 and 1"
        assert 0 <= outcome.cpu_seconds < math.inf, "a time is 0 or more"
        assert isinstance(outcome.details, dict), "details have names"


def _trials(folder: Path) -> Any:
    from stepcell.train.network.network import Network
    from stepcell.train.search.sampler import TrialStorage
    from stepcell.train.search.space import Candidate, Space

    start = Candidate(Network(cell="gru", units=8), 1e-3)
    return TrialStorage(folder / "search.db", Space(start, 5, 5, ("gru", "lstm"), (1, 2), (4, 16), (1e-4, 1e-2)))


def _make_trials(folder: Path) -> None:
    from stepcell.train.search.trial import Trial

    storage = _trials(folder)
    for number in range(1, 4):
        storage.add(Trial(number, "gru", 4 * number, 1, 1e-3, 100 * number, "solved", 50, 1.5, 1.0, 0.01))


def _read_trials(folder: Path, name: str) -> None:
    for trial in _trials((folder / name).parent).trials:
        assert trial.cell in ("gru", "lstm", "rnn"), "there is such a cell"
        assert trial.units > 0, "a layer has units"
        assert trial.parameters > 0, "a network has parameters"
        assert 0 < trial.learning_rate < math.inf, "a learning rate is positive"


# Data.

_ROWS = [("case", "time", "activity", "speed")] + [
    (f"c{n % 3}", f"2024-05-{1 + n // 20:02}T10:{n % 20:02}:00", ("open", "close", "wait a bit", "\u00e9")[n % 4],
     f"{n / 8}") for n in range(60)
]  # fmt: skip
_READER = {"symbol": "activity", "sequence": "case", "order": "time", "features": {"speed": "speed"}}


def _make_tables(folder: Path) -> None:
    for name, delimiter in (("log.csv", ","), ("log.tsv", "\t"), ("quoted.csv", ";")):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            quoting = csv.QUOTE_ALL if name == "quoted.csv" else csv.QUOTE_MINIMAL
            csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(_ROWS)
    (folder / "log.csv.gz").write_bytes(gzip.compress((folder / "log.csv").read_bytes(), mtime=0))


def _make_json_lines(folder: Path) -> None:
    objects = [dict(zip(_ROWS[0], (*row[:3], float(row[3])), strict=True)) for row in _ROWS[1:]]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    (folder / "log.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def _make_parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = dict(zip(_ROWS[0], zip(*_ROWS[1:], strict=True), strict=True))
    table = pyarrow.table({**columns, "speed": [float(cell) for cell in columns["speed"]]})
    times = pyarrow.array(np.array(columns["time"], "M8[us]"))
    pyarrow.parquet.write_table(table, folder / "log.parquet")
    table = table.set_column(1, "time", times).drop_columns(["case"]).append_column("case", table.column("case"))
    pyarrow.parquet.write_table(table, folder / "times.parquet", compression="gzip")


def _make_texts(folder: Path) -> None:
    text = "The cat sat on the mat, 12 times; caf\u00e9.\nIt wasn't (3.5) late.\n" * 6
    for name in ("characters.txt", "words.txt", "bytes.txt"):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / "symbols.txt").write_text("".join(f"{row[2]}\n" for row in _ROWS[1:]), encoding="utf-8")
    (folder / "log.lines").write_text("open close\nwait open close\n1 2 3\n" * 9, encoding="utf-8")


def _read_table(folder: Path, name: str) -> None:
    path = folder / name
    recording = EventsReader(**_READER).read(path)
    _check(recording)
    if ".jsonl" in name:
        found = [json.loads(line) for line in _lines(path) if line.strip()]
        rows: Iterable[Mapping[str, Any]] = [{key: _text(row.get(key)) for key in _ROWS[0]} for row in found]
    elif name.endswith(".parquet"):
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path, columns=list(_ROWS[0]))
        if not all(map(_is_plain, (table.schema.field(name).type for name in ("activity", "case", "speed")))):
            return  # dates, times and bytes as text: as JSON has them
        rows = [{key: _text(cell) for key, cell in row.items()} for row in table.drop_columns("time").to_pylist()]
    else:
        delimiter = recording.found.rpartition("by ")[2].strip("'").replace("\\t", "\t")
        content = io.StringIO(_content(path).decode("utf-8-sig"), newline="")
        while not (first := content.readline()).strip():
            pass
        table = list(csv.reader([first, *content], delimiter=delimiter, strict=True))
        rows = [dict(zip(table[0], row, strict=True)) for row in table[1:] if row]
    used = [row for row in rows if row["activity"] and row["case"]]
    expected = Counter((row["activity"], float(np.float32(float(row["speed"])))) for row in used)
    values = recording.features.values[:, 0].tolist() if recording.features else []
    events = Counter(zip((recording.symbols[id] for id in recording.ids), values, strict=True))
    assert events == expected, f"other events than in the file: {list((events - expected) + (expected - events))[:3]}"
    assert len(recording) == len({row["case"] for row in used}), "other sequences than in the file"


def _is_plain(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _text(cell: Any) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, default=str)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _lines(path: Path, newline: str | None = None) -> list[str]:
    return list(io.StringIO(_content(path).decode("utf-8-sig"), newline=newline))


def _check(recording: Recording) -> None:
    """Raise AssertionError for a recording that cannot be one."""
    assert all(isinstance(symbol, str) and symbol and symbol.encode() for symbol in recording.symbols), "empty symbols"
    assert len(set(recording.symbols)) == len(recording.symbols), "a symbol has one id"
    assert recording.ids.size > 0, "there is nothing in it"
    assert 0 <= recording.ids.min() <= recording.ids.max() < len(recording.symbols), "ids without a symbol"
    assert (recording.lengths > 0).all(), "a sequence without symbols"
    assert recording.starts[0] == 0, "the first sequence begins at the beginning"
    assert recording.starts[-1] == len(recording.ids), "the last sequence ends at the end"
    if recording.times is not None:
        assert np.isfinite(recording.times).all(), "a time is not finite"
        within = np.ones(len(recording.ids) - 1, bool)
        within[recording.starts[1:-1] - 1] = False
        assert (np.diff(recording.times)[within] >= 0).all(), "times run backwards"
    if recording.features is not None:
        assert np.isfinite(recording.features.values).all(), "a feature is not finite"


def _read_text(folder: Path, name: str) -> None:
    path = folder / name
    unit = {"words.txt": "word", "bytes.txt": "byte"}.get(name, "character")
    reader = SymbolsReader() if name == "symbols.txt" else EventsReader() if name == "log.lines" else TextReader(unit)
    recording = reader.read(path)
    _check(recording)
    found = [recording.symbols[id] for id in recording.ids]
    if unit == "byte":
        assert "".join(found) == path.read_bytes().hex(), "other bytes than in the file"
    elif name == "symbols.txt":
        assert len(found) == sum(bool(line.rstrip("\r\n")) for line in _lines(path, "\n")), "a line is a symbol"
    elif name == "log.lines":
        assert found == "".join(_lines(path)).split(), "other symbols than in the file"
    else:
        text = "".join(_lines(path))
        separator = "" if unit == "character" else " "
        expected = text if unit == "character" else " ".join(text.replace("\n", " \n ").split(" "))
        same = separator.join(found) == expected if unit == "character" else _visible(found) == _visible([text])
        assert same, "another text than in the file"


def _visible(pieces: Iterable[str]) -> str:
    return "".join("".join(pieces).split())


# Lines that `stepcell predict` reads, and model files as `stepcell inspect` describes them.


def _make_live(folder: Path) -> None:
    (folder / "symbols.txt").write_text("3\n0\n1\n2\n4\n" * 8)
    lines = [json.dumps({"m": f"device {n % 3}", "e": "30124"[n % 5], "x": n / 3}) for n in range(40)]
    (folder / "keyed.jsonl").write_text("\n".join(lines) + "\n")


def _read_live(folder: Path, name: str) -> None:
    from stepcell.cli import app

    command = ["predict", str(MODEL), "--input", str(folder / name), "--json", "--backend", "numpy"]
    command += ["--unknown", "skip"] + (["--key", "m", "--symbol-field", "e"] if name == "keyed.jsonl" else [])
    answers, words = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(answers), contextlib.redirect_stderr(words):
            app(command, standalone_mode=False)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    lines = (folder / name).read_bytes().split(b"\n")
    found = answers.getvalue().split("\n")[:-1]
    answered = [answer for answer in map(json.loads, found) if "probability" in answer]
    assert all(0 <= answer["probability"] <= 1 for answer in answered), "a probability is between 0 and 1"
    if name == "keyed.jsonl":
        keys = {_text(each.get("m")) for each in map(_json, lines) if isinstance(each, dict)}
        assert {answer["stream"] for answer in answered} <= keys, "the answer of another stream"
    assert len(found) <= len(lines), "more answers than lines"
    if code:
        assert code == 1, f"it ends with {code}"
        assert words.getvalue().strip(), "it says nothing"
        raise StepcellError(words.getvalue())


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _make_models(folder: Path) -> None:
    for name in ("memory.tflite", "memory.onnx", "adopted.onnx", "foreign/positional.tflite", "foreign/helper.onnx"):
        shutil.copy(DATA / name, folder / Path(name).name)


def _read_model(folder: Path, name: str) -> None:
    path = folder / name
    contents = read_contents(path)
    assert contents.bytes == path.stat().st_size, "another size than the file has"
    intact = path.read_bytes() == (folder.parent / "valid" / name).read_bytes()
    assert intact or contents.manifest is None or contents.problem, "it is damaged and was taken"
    if not intact and contents.problem:
        raise StepcellError(contents.problem)


KINDS: dict[str, Kind] = {
    "thresholds": Kind(("normal.threshold", "residuals.threshold"), _make_threshold, _read_threshold),
    "vocabularies": Kind(("lines.txt", "list.json", "object.json"), _make_vocabularies, _read_vocabulary),
    "stores": Kind(("fleet.db",), _make_store, _read_store),
    "checkpoints": Kind(("checkpoint.npz",), _make_checkpoint, _read_checkpoint),
    "run folders": Kind(
        tuple(f"{folder}/{name}" for folder, sample in (("plain", "sample.txt"), ("features", "sample.jsonl"))
              for name in ("run.json", "run.json", sample, sample, "initial_state.npz", "model.keras", "metrics.json",
                           "history.csv")),
        _make_runs, _read_run,
    ),
    "plans": Kind(("run.json", "search.json"), _make_plans, _read_plan),
    "start states": Kind(("state.npz", "packed.npz"), _make_state, _read_state),
    "results": Kind(("results.json",), _make_results, _read_results),
    "trials": Kind(("search.db",), _make_trials, _read_trials),
    "tables": Kind(("log.csv", "log.tsv", "quoted.csv", "log.csv.gz"), _make_tables, _read_table),
    "json lines": Kind(("log.jsonl", "log.jsonl.gz"), _make_json_lines, _read_table),
    "parquet": Kind(("log.parquet", "times.parquet"), _make_parquet, _read_table),
    "texts": Kind(
        ("characters.txt", "words.txt", "bytes.txt", "packed.txt.gz", "symbols.txt", "log.lines"),
        _make_texts, _read_text,
    ),
    "live lines": Kind(("symbols.txt", "keyed.jsonl"), _make_live, _read_live),
    "inspected models": Kind(
        ("memory.tflite", "memory.onnx", "adopted.onnx", "positional.tflite", "helper.onnx"), _make_models, _read_model
    ),
}  # fmt: skip
