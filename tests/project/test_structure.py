"""The rooms and the arrows between them are those of the drawing; tests look at public names only."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest
from support.imports import ROOT, STOREYS, circles, head_imports_of, imports_of, modules, parse, source_files

# The rooms of each storey from the top down, and what each is. A room may import those below it and, in `export` and
# `train`, all of `runtime`; its commands hold the options that all commands share and are imported by commands only.
# `files` are those that lie in the storey itself, beside its rooms.
ROOMS = {
    "runtime": {
        "commands": "the commands of the device; typer is imported here only",
        "face": "the names that users import from stepcell.runtime",
        "spark": "keyed state and batches on Spark",
        "serve": "predict: lines in, answers out, state saved on the way",
        "evaluation": "accuracy and likelihood of a model on data",
        "bench": "time of a step on each interpreter",
        "worker": "python -m stepcell.runtime.worker: steps in another process",
        "tasks": "generate, score, anomaly",
        "streams": "Stream, lockstep streams, fleets, saved state, Model",
        "doctor": "which interpreter runs a file on which machine",
        "data": "CSV, JSON and text to sequences",
        "interpreters": "tflite, onnx and the numpy engine behind one protocol",
        "format": "the model file: containers, manifest, vocabulary, readers of graphs",
        "common": "errors, array types, atomic writes, terminal, plotting",
    },
    "export": {
        "commands": "export, check, adopt, c and their options",
        "face": "the names that users import from stepcell.export",
        "files": "the exporter, its model files and its start state",
        "adopt": "a manifest for graphs that stepcell did not make",
        "web": "JavaScript and pages printed from model files",
        "c": "C printed from model files, compiled and compared",
        "parity": "the proof: Keras, the float64 reference, replay on interpreters",
        "sources": "run folders and models in files of Keras 2 and 3; the proof of those that are rebuilt",
        "onnx": "a step function as an ONNX graph",
        "tflite": "a step function as a TFLite graph",
        "step_function": "a Keras model as one function from input and state to output and next state",
        "layers": "the step rule of each Keras layer",
        "ops": "arithmetic in numpy, TensorFlow and ONNX; precisions",
        "tracing": "functions of TensorFlow as graphs without variables",
    },
    "train": {
        "commands": "train, evaluate, search, reproduce and their options",
        "face": "the names that users import from stepcell.train",
        "reproduce": "recipes of published experiments and the comparison with them",
        "search": "hyperparameter search",
        "run": "the run folder: files, plots, reports",
        "fitting": "the training loop",
        "problems": "what is learned: symbols, targets, episodes",
        "network": "cells, forward pass, gradients",
    },
}
MOST_ROOMS, MOST_LINES = 13, 400  # the engines that others run, Spark, are a room of their own
# Imports within a function that point upwards: methods of a stream that hand on to a task, so that the call is natural.
LATE = {
    ("runtime/streams/stream.py", "runtime/tasks"),
}  # fmt: skip
HEAVY = ("tensorflow", "keras", "tf2onnx", "h5py", "optuna")


def room_of(file: str) -> tuple[str, str]:
    """Return the storey and the room of a file; ("", file) for cli.py and the package file."""
    storey, *inner = Path(file).parts
    if not inner:
        return "", file
    if len(inner) > 1:
        return storey, inner[0]
    return storey, "face" if inner[0] == "__init__.py" else "files"


def is_of(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


ARROWS = [each for file in source_files() for each in imports_of(file)]
INNER = [each for each in ARROWS if each.module in modules()]


def allowed(file: str, target: str) -> bool:
    """Tell whether `file` may import the file `target`."""
    (storey, room), (other_storey, other_room) = room_of(file), room_of(target)
    if storey == "" or target == "__init__.py":  # cli.py may import all; the package file holds the version alone
        return True
    if storey != other_storey:
        return storey != "runtime" and other_storey == "runtime" and (other_room != "commands" or room == "commands")
    order = list(ROOMS[storey])
    return order.index(room) <= order.index(other_room) or (file, f"{other_storey}/{other_room}") in LATE


@pytest.mark.parametrize("storey", STOREYS)
def test_the_rooms_are_those_of_the_drawing(storey):
    folders = {path.name for path in (ROOT / storey).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS[storey]) - {"face", "files"}
    assert len(folders) <= MOST_ROOMS


def test_arrows_run_downwards_only():
    assert [str(each) for each in INNER if not allowed(each.file, modules()[each.module])] == []


def test_no_file_imports_itself_through_others():
    graph = defaultdict(set)
    for each in INNER:
        target = modules()[each.module]
        if (each.file, "/".join(room_of(target))) not in LATE:
            graph[each.file].add(target)
    assert circles(graph) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set(), "f": {"a"}}
    assert circles(graph) == [["b", "c"]]
    assert circles({**graph, "e": {"f"}}) == [["a", "b", "c", "d", "e", "f"]]


def test_only_the_command_line_imports_commands():
    offenders = [e for e in INNER if room_of(modules()[e.module])[1] == "commands" and room_of(e.file)[1] != "commands"]
    assert [str(each) for each in offenders if each.file != "cli.py"] == []


def test_the_runtime_knows_neither_tensorflow_nor_the_command_line():
    of_runtime = [each for each in ARROWS if each.file.startswith("runtime/")]
    assert [str(each) for each in of_runtime if is_of(each.module, *HEAVY)] == []
    outside = [each for each in of_runtime if not each.file.startswith("runtime/commands/")]
    assert [str(each) for each in outside if is_of(each.module, "typer", "click")] == []


def test_tensorflow_is_imported_at_no_head_that_the_command_line_imports():
    heads, waiting = set(), ["cli.py", *(file for file in source_files() if room_of(file)[1] == "commands")]
    while waiting:
        file = waiting.pop()
        if file not in heads:
            heads.add(file)
            waiting += [modules()[each.module] for each in head_imports_of(file) if each.module in modules()]
    found = [each for file in sorted(heads) for each in head_imports_of(file)]
    assert [str(each) for each in found if is_of(each.module, *HEAVY, "numpy")] == []


def test_no_file_is_longer_than_a_few_screens():
    files = [*source_files(), *(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))]
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in files}
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


# What tests may look at.
TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))
# Of named tuples; where Keras says a mask is; the documented end of a forked process.
PUBLIC = {"_asdict", "_replace", "_fields", "_make", "_keras_mask", "_exit"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_names(file: str) -> list[str]:
    """Return the private names of other modules that a test file reads, imports or replaces, with their lines."""
    found = []
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, alias.name) for alias in node.names if is_private(alias.name)]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in REPLACERS:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            found += [(node.lineno, text) for text in texts if any(map(is_private, text.split(".")))]
    return [f"{file}:{line} {name}" for line, name in sorted(found)]


REPLACERS = {"setattr", "getattr", "delattr", "hasattr", "patch", "object", "attrgetter"}


def test_tests_read_public_names_only():
    assert [offender for file in TESTS for offender in private_names(file)] == []


def reached_from(file: str) -> list[str]:
    """Return what a test of the runtime imports of TensorFlow, `export` and `train`, also through tests/support."""
    found, seen, waiting = [], set(), [file]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for each in imports_of(current):
            if is_of(each.module, *HEAVY, "stepcell.export", "stepcell.train"):
                found.append(f"{file}: {each}")
            elif is_of(each.module, "support"):
                waiting.append(f"tests/{each.module.replace('.', '/')}.py")
    return found


def test_tests_of_the_runtime_import_neither_tensorflow_nor_what_makes_models():
    files = [file for file in TESTS if file.startswith("tests/runtime/")]
    assert len(files) > 20
    assert [offender for file in files for offender in reached_from(file)] == []


def test_fixtures_of_all_tests_import_tensorflow_only_where_they_are_used():
    heads = head_imports_of("tests/conftest.py")
    assert [str(each) for each in heads if is_of(each.module, *HEAVY, "stepcell.export", "stepcell.train")] == []
