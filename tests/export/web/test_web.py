"""JavaScript that is printed from model files, in Node, and pages in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from support.models import DATA, path_of

from stepcell.export.web.javascript import javascript_module
from stepcell.export.web.node import NodeStep, node_version
from stepcell.export.web.page import web_page
from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import CompilerError, NotSteppableError
from stepcell.runtime.format.tensor_specs import AnswerTimes, Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.worker.messages import RunSpec

MODELS = ["lstm", "gru_reset_before", "started", "stack", "masked", "convolution", "wide", "sensor"]


def run_node(folder, module, script):
    """Run `script`, which sees the module as `m`, in Node; return what it prints as JSON."""
    (folder / "m.mjs").write_text(module)
    (folder / "script.mjs").write_text(f'import * as m from "./m.mjs";\n{script}\n')
    done = subprocess.run(["node", str(folder / "script.mjs")], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MODELS)
def test_javascript_answers_as_the_file_does(tmp_path, name):
    path = path_of(name, "tflite")
    file = read_model_file(path)
    manifest, random = file.manifest, np.random.default_rng(2)
    features = {
        each.name: random.normal(size=(40, *each.shape)).astype(np.float32)
        if each.ids is None
        else random.integers(0, each.ids, 40).astype(np.int32)
        for each in manifest.features
    }
    inputs = Inputs(random.integers(0, max(len(manifest.vocabulary), 1), 40).astype(np.int32), features)
    found = NodeStep(javascript_module(file), manifest, tmp_path).trace(RunSpec(inputs, initial_state(manifest.state)))
    stream = load(path, backend="numpy").stream()
    symbols = [manifest.vocabulary.symbols[id] for id in inputs.ids] if len(manifest.vocabulary) else None
    assert np.abs(found.probabilities - stream.run(symbols, features or None)).max() < 2e-6
    for tensor, values in stream.state.items():
        assert np.abs(found.states[tensor][-1] - values[0]).max() < 2e-6


def test_a_wrong_symbol_is_refused_and_the_state_has_not_moved(tmp_path):
    script = """
const state = m.initialState(), codes = [];
m.step(state, 1);
const before = JSON.stringify(m.copyState(state));
for (const id of [-1, m.symbols.length, 0.5, "1", undefined]) {
    try { m.step(state, id); codes.push("accepted"); } catch (error) { codes.push(error.constructor.name); }
}
state.c0[2] = NaN;
try { m.step(state, 1); } catch (error) { codes.push(error.message); }
state.c0[2] = JSON.parse(before).c0[2];
console.log(JSON.stringify([codes, JSON.stringify(state) === before]));
"""
    codes, same = run_node(tmp_path, javascript_module(read_model_file(DATA / "memory.tflite")), script)
    assert codes == ["RangeError"] * 5 + ["a number is not finite"]
    assert same


def test_static_inputs_are_given_with_the_state(tmp_path):
    path = path_of("personal", "tflite")
    script = """
const state = m.initialState({user: [0.5, -1, 2]});
let found;
for (let t = 0; t < 4; t++) found = m.step(state, t);
let refused = 0;
for (const given of [undefined, {}, {user: [1, 2]}, {user: [1, 2, NaN]}]) {
    try { m.initialState(given); } catch { refused++; }
}
console.log(JSON.stringify([Array.from(found.probabilities), refused]));
"""
    found, refused = run_node(tmp_path, javascript_module(read_model_file(path)), script)
    stream = load(path, backend="numpy").stream(static={"user": [0.5, -1.0, 2.0]})
    assert np.abs(np.array(found) - stream.run(stream.file.manifest.vocabulary.symbols[:4])[-1]).max() < 2e-6
    assert refused == 4


def test_a_step_without_an_answer_returns_null(tmp_path):
    file = read_model_file(DATA / "memory.tflite")
    rare = replace(file, manifest=replace(file.manifest, answers=AnswerTimes(3, 2)))
    script = "const s = m.initialState(); console.log(JSON.stringify([1, 2, 3, 4, 5].map(() => !!m.step(s, 0))));"
    assert run_node(tmp_path, javascript_module(rare), script) == [False, False, True, False, True]


def test_symbols_of_a_vocabulary_cannot_end_a_script(tmp_path):
    file = read_model_file(path_of("lstm", "tflite"))
    symbols = ("</script>", "<!--", "'", '"', "\\", "\u2028", "\n")
    vocabulary = replace(file.manifest.vocabulary, symbols=symbols)
    hostile = replace(file, manifest=replace(file.manifest, vocabulary=vocabulary, name="</title><script>"))
    page = web_page(hostile)
    assert page.count("</script>") == 1
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in page
    found = run_node(tmp_path, javascript_module(hostile), "console.log(JSON.stringify([m.symbols, m.selftest()]));")
    assert tuple(found[0]) == symbols
    assert found[1] < 1e-5


def test_a_page_loads_nothing():
    page = web_page(read_model_file(DATA / "memory.tflite"))
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:https?:)?//[a-z]", page)
    assert not re.findall(r"\b(?:src|href)=", page)


def test_what_has_no_javascript_is_named(monkeypatch):
    with pytest.raises(NotSteppableError, match="whole sequences"):
        javascript_module(read_model_file(DATA / "lstm.sequence.onnx"))
    monkeypatch.setattr("stepcell.runtime.interpreters.numpy_engine.from_tflite.KNOWN", frozenset(["SPLIT"]))
    with pytest.raises(NotSteppableError, match="does not know the operators .*LOGISTIC"):
        javascript_module(read_model_file(DATA / "memory.tflite"))


def test_without_node_nothing_is_proven(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerError, match="no Node here.*--format html"):
        node_version()


TYPING = """<script>
addEventListener("load", () => {
    const box = document.getElementById("typed");
    for (const char of "4012x") { box.value += char; box.dispatchEvent(new Event("input")); }
});
</script>
</body>"""


@pytest.mark.slow
def test_a_browser_steps_a_page_as_one_types(tmp_path):
    (tmp_path / "page.html").write_text(web_page(read_model_file(DATA / "memory.tflite")).replace("</body>", TYPING))
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    stream = load(DATA / "memory.tflite", backend="numpy").stream()
    best = stream.absorb("4012")
    assert f'<span>{best.symbol}</span><div class="track">' in dom
    assert f"{100 * best.probability:.1f} %" in dom
    assert "&quot;x&quot; is not in the vocabulary; the state has not moved." in dom or '"x" is not in' in dom
    steps = re.search(r'<p id="steps"[^>]*>(.*?)</p>', dom)[1]
    assert re.sub(r"<[^>]*>", "", steps) == "4012"
