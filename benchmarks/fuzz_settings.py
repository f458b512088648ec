"""Thresholds, vocabularies, stores, checkpoints, run folders, start states and results, for benchmarks/fuzz.py."""

from __future__ import annotations

import contextlib
import json
import math
import random
import shutil
import sqlite3
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_kind import DATA, Kind, model

from stepcell.export import read_source, read_state_file, read_vocabulary
from stepcell.runtime import SqliteStore, StepcellError, Watch, load, read_threshold
from stepcell.runtime.common.arrays import AnyArray
from stepcell.runtime.tasks.residuals import ResidualThreshold, read_residual_threshold
from stepcell.train.fitting.checkpoint import HistoryRow, Snapshot, TrainingState, read_checkpoint, write_checkpoint
from stepcell.train.problems.problem import Score
from stepcell.train.run.folder import read_plan

KEYS = [f"device {number}" for number in range(40)]
PLAN = {"producer": "stepcell", "problem": {"name": "memory", "length": 5}, "network": {"units": 8},
        "options": {"seed": 1, "max_updates": None}, "space": {"units": [4, 16]}}  # fmt: skip


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
    plain = (len(rows), *rows, state.best_loss, state.evaluations_since, state.stopped)
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
}  # fmt: skip
