"""The page of the demo, made from a model file and figures; driven in a browser."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace

import pytest
from support.browser import Browser
from support.models import DATA, path_of

from stepcell.export.web.demo_page import FileFigures, RunFigures, demo_page, read_figures
from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import NotSteppableError

SEQUENCES = (tuple("30123"), tuple("40124"))
FIGURES = RunFigures(
    [(25, 0.8125, 0.66), (50, 1.0, 0.08)],
    50,
    1.9,
    2185,
    [
        FileFigures("model.tflite", 23400, "ai-edge-litert 2.3.0", 500, 1.8e-6, 1e-5, 1.3),
        FileFigures("model.onnx", 14096, "onnxruntime 1.31.1", 500, 2.1e-5, 1e-5, None),
    ],
)


def page():
    return demo_page(read_model_file(DATA / "memory.tflite"), SEQUENCES, FIGURES)


def test_the_page_is_one_file_that_loads_nothing():
    text = page()
    assert "default-src 'none'" in text
    assert not re.findall(r"\b(?:src=|url\(|@import|fetch\(|import )", text)
    assert set(re.findall(r'href="([^"]*)"', text)) == {"#content"}
    assert set(re.findall(r"https?://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}  # a name of elements
    assert not re.findall(r"@[A-Z]+@|innerHTML|insertAdjacentHTML|document\.write", text)


def test_texts_of_a_run_cannot_end_the_script():
    file = read_model_file(DATA / "memory.tflite")
    hostile = replace(file, manifest=replace(file.manifest, name="</title><script>@RUN@"))
    figures = replace(FIGURES, files=[replace(FIGURES.files[0], runtime="</script><b>")])
    text = demo_page(hostile, SEQUENCES, figures)
    assert text.count("</script>") == 1
    assert "<title>&lt;/title&gt;&lt;script&gt;@RUN@: " in text


@pytest.mark.parametrize("name", ["gru", "stack", "sensor"])
def test_what_is_no_lstm_of_symbols_is_refused(name):
    with pytest.raises(NotSteppableError, match="the page is for an LSTM"):
        demo_page(read_model_file(path_of(name, "tflite")), SEQUENCES, FIGURES)


def test_the_figures_are_those_of_the_run_and_the_export(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"updates": 50, "seconds": 1.9, "parameters": 2185}))
    (tmp_path / "history.csv").write_text(
        "update,loss,judged_accuracy,judged_nats\n10,1.2,,\n25,0.9,0.8125,0.66\n50,0.1,1.0,0.08\n"
    )
    entry = {"file": "model.tflite", "runtime": "ai-edge-litert 2.3.0", "quantization": "float32"}
    parity = [
        {**entry, "start": "initial", "steps": 500, "max_abs_error": 1.8e-6, "microseconds": 1.3},
        {**entry, "start": "each", "steps": 2000, "max_abs_error": 1e-6, "microseconds": None},
    ]
    report = {"parity": parity, "files": {"model.tflite": {"bytes": 23400}}}
    report["gates"] = {"float32": {"max_abs_error": 1e-5}}
    (tmp_path / "parity.json").write_text(json.dumps(report))
    assert read_figures(tmp_path, tmp_path / "parity.json") == replace(FIGURES, files=FIGURES.files[:1])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo.html").write_text(page())
    with Browser(folder) as found:
        found.go((folder / "demo.html").as_uri())
        found.wait("document.getElementById('resumed') !== null")
        yield found


def text_of(browser, selector):
    return browser.value(f"document.querySelector('{selector}').textContent")


def click(browser, selector):
    browser.value(f"document.querySelector('{selector}').click()")


@pytest.mark.slow
def test_the_page_works_without_a_network_or_an_error(browser):
    assert browser.messages == []
    assert {address.partition(":")[0] for address in browser.requested} == {"file"}
    assert text_of(browser, "#proof").endswith("✓")
    for width in (375, 1280):
        browser.size(width, 800)
        assert browser.value("document.documentElement.scrollWidth") == width


@pytest.mark.slow
def test_keys_and_buttons_step_both_streams(browser):
    click(browser, "#anew")
    assert "Nothing is read yet" in text_of(browser, "#said")
    for _ in range(3):
        browser.press("ArrowRight")
    click(browser, "#next")
    stream = load(DATA / "memory.tflite", backend="numpy").stream()
    best = stream.absorb("3012")
    assert (
        f"Both have read 2. Next, A expects {best.symbol} ({100 * best.probability:.1f}\u00a0%, right), B 4 ("
        in text_of(browser, "#said")
    )
    browser.press("ArrowLeft")
    assert text_of(browser, "#said").startswith("Step 3 of 10.")
    # What is drawn is the state: the column of a step has the colours of its numbers.
    blue = browser.value(
        "[...document.querySelector('#streams canvas').getContext('2d').getImageData(2, 0, 1, 20).data]"
        ".filter((_, i) => i % 4 === 2)"
    )
    stream.reset()
    stream.absorb("301")
    h = stream.state["h0"][0]
    assert all((value > 150) == (number < 0) or abs(number) < 0.5 for value, number in zip(blue, h, strict=True))


@pytest.mark.slow
def test_swapping_h_and_c_gives_wrong_answers_beside_the_right_ones(browser):
    titles = "[...document.querySelectorAll('#swapped h3')].map((each) => each.textContent)"
    right, swapped = browser.value(titles)
    assert right == "As it should be: 100 of 100 right"
    assert int(re.fullmatch(r"h and c swapped: (\d+) of 100 right", swapped)[1]) < 90
    assert browser.value("document.querySelectorAll('#swapped section:last-child .cells .wrong').length") >= 1
    assert browser.value("document.querySelectorAll('#swapped section:first-child .wrong').length") == 0
    browser.value("document.querySelectorAll('#places input:checked').forEach((box) => box.click())")
    assert text_of(browser, "#swap-said") == "Nothing is swapped."
    assert browser.value(titles)[1] == "h and c swapped: 100 of 100 right"


@pytest.mark.slow
def test_a_restored_stream_goes_on_as_if_it_had_never_stopped(browser):
    click(browser, "#stage")
    assert browser.value("document.querySelectorAll('#stages .hex').length") == 0
    for _ in range(5):
        click(browser, "#stage")
    shown = browser.value("[...document.querySelectorAll('#stages .hex')].map((each) => each.textContent)")
    assert shown[0] == shown[1] == shown[3] != shown[2]
    stream = load(DATA / "memory.tflite", backend="numpy").stream()
    stream.absorb("301")
    first = struct.unpack("<f", bytes.fromhex("".join(shown[0].split()[1:5])))[0]
    assert first == pytest.approx(stream.state["h0"][0, 0], abs=1e-6)
    assert "on 2 it would answer 4" in text_of(browser, "#stages")
    assert text_of(browser, "#resumed") == "✓ all 12 answers and states are equal to the bit"
    answers = "[...document.querySelectorAll('#answers tbody tr')].map((row) => row.lastChild.textContent)"
    assert set(browser.value(answers)) == {"✓"}


@pytest.mark.slow
def test_the_figures_of_the_run_are_shown(browser):
    table = "[...document.querySelectorAll('#parity tbody tr')].map((row) => row.textContent)"
    assert browser.value(table) == [
        "ai-edge-litert 2.3.01.8e-6 ✓1.3model.tflite500",
        "onnxruntime 1.31.12.1e-5 ✗model.onnx500",
    ]
    assert "2,185" in text_of(browser, "#figures")
