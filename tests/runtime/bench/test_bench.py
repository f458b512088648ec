"""What `stepcell bench` prints is what was measured."""

from __future__ import annotations

import json

import pytest
from support.models import DATA, RUNTIMES
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime.bench.measurement import measure_variants
from stepcell.runtime.bench.report import as_json, as_rows, draw
from stepcell.runtime.bench.variants import LATENCY, REFERENCE, Variant
from stepcell.runtime.tasks.lanes import FEWEST


@pytest.fixture(scope="module", params=RUNTIMES, ids=lambda each: "-".join(each))
def measured(request):
    backend, name = request.param
    return backend, measure_variants(DATA / name, backend, rounds=1, scored=1000 if backend == "numpy" else FEWEST)


def test_every_variant_of_a_backend_is_measured(measured):
    backend, found = measured
    assert {"Stream.step", "Stream.step_id", "Stream.run, a symbol", "64 streams, one of them"} <= set(
        found.microseconds
    )
    assert all(0 < value < 1e6 for value in found.microseconds.values())
    assert (REFERENCE in found.microseconds) == (backend in ("litert", "tflite"))
    assert ("session.run" in found.microseconds) == (backend == "onnxruntime")
    assert 0 < found.p50_us <= found.p99_us <= found.max_us
    assert found.load_ms > 0


def test_ratios_are_to_the_shortest_code_by_hand(measured):
    backend, found = measured
    if backend in ("litert", "tflite"):
        assert found.ratio(REFERENCE) == 1
        assert found.ratio("Stream.step") == found.microseconds["Stream.step"] / found.microseconds[REFERENCE]
        assert found.ratio(REFERENCE + LATENCY) == 1
    else:
        assert found.ratio("Stream.step") is None
    assert ("two phases" + LATENCY in found.microseconds) == (backend == "native")


def test_tables_and_pictures_show_every_variant_of_every_runtime(measured):
    _, found = measured
    header, rows, note = as_rows([found, found])
    assert header == ["variant", found.runtime, found.runtime]
    assert {name for name, *_ in rows} > set(found.microseconds)
    assert "microseconds per symbol" in note
    assert draw([found], "title").startswith(b"\x89PNG")
    assert as_json([found])[0]["variants"].keys() == found.microseconds.keys()


def test_other_variants_take_turns_with_ours():
    calls = []

    def loop(ids):
        calls.append(len(ids))
        return 5_000 * len(ids), len(ids)

    another = Variant("another", loop, symbols=7)
    found = measure_variants(DATA / "memory.onnx", rounds=2, scored=1000, more=lambda model: [another])
    assert calls == [7, 7]
    assert found.microseconds["another"] == 5


@pytest.mark.slow
def test_the_command_prints_a_table_and_json(tmp_path):
    picture = tmp_path / "bench.png"
    options = ["bench", str(DATA / "memory.onnx"), "--backend", "onnxruntime", "--rounds", "1"]
    result = CliRunner().invoke(app, [*options, "--plot", str(picture)])
    assert result.exit_code == 0
    assert "Stream.step_id" in result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(app, [*options, "--json"])
    (measurement,) = json.loads(result.output)["measurements"]
    assert measurement["runtime"].startswith("onnxruntime")
    assert "Stream.step" in measurement["variants"]
