"""The site of the documentation: its search finds a job by its everyday names, and its pages fit the screen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.browser import Browser
from support.pages import DOCS, ROOT

pytestmark = pytest.mark.slow  # the site is built once, in a quarter of a minute

# What people type -> the pages of which one must be among the first three.
WANTED = {
    "arduino": ["microcontroller"],
    "esp32": ["microcontroller"],
    "lstm on a microcontroller": ["microcontroller"],
    "cortex-m4": ["microcontroller"],
    "flash size": ["microcontroller"],
    "raspberry pi": ["raspberry-pi"],
    "systemd": ["raspberry-pi", "serve"],
    "anomaly detection": ["watch", "quick-starts"],
    "log monitoring": ["watch"],
    "predictive maintenance": ["watch", "quick-starts"],
    "threshold": ["watch"],
    "beam search": ["watch"],
    "text generation": ["watch", "quick-starts", "events"],
    "next word": ["events"],
    "char-rnn": ["events"],
    "process mining": ["events"],
    "csv": ["events"],
    "keyword spotting": ["quick-starts", "examples"],
    "forecasting": ["quick-starts", "train"],
    "hyperparameter tuning": ["train"],
    "tensorboard": ["train"],
    "early stopping": ["train"],
    "lstm or gru": ["choose"],
    "convert keras": ["export", "your-own-keras-model"],
    "keras to tflite": ["export", "your-own-keras-model"],
    "onnx": ["export", "adopt"],
    "stateful lstm": ["your-own-keras-model", "step"],
    "custom layer": ["your-own-keras-model"],
    "sliding window": ["export", "your-own-keras-model"],
    "pytorch": ["adopt"],
    "hidden state": ["adopt", "step"],
    "quantize": ["quantise"],
    "quantization": ["quantise"],
    "int8": ["quantise"],
    "perplexity": ["evaluate", "watch"],
    "save state": ["step"],
    "latency": ["step", "speed"],
    "benchmark": ["speed"],
    "mqtt": ["serve"],
    "home assistant": ["serve"],
    "docker": ["serve"],
    "rest api": ["serve"],
    "prometheus": ["serve"],
    "sqlite": ["store"],
    "fastapi": ["predict"],
    "pipe": ["predict"],
    "javascript": ["browser"],
    "web page": ["browser"],
    "model card": ["export"],
    "install": ["install"],
    "notebook": ["notebooks"],
    "jupyter": ["notebooks"],
    "error message": ["troubleshooting"],
    "run lstm on esp32": ["microcontroller"],
    "export keras lstm to tflite": ["export", "your-own-keras-model"],
    "detect anomalies in logs": ["watch", "quick-starts", "examples"],
    "predict the next event": ["events"],
    "time series forecast": ["quick-starts", "train"],
    "reset state": ["step"],
    "hot reload": ["serve"],
    "live dashboard": ["serve"],
    "resume training": ["train"],
    "spark": ["spark"],
    "sharding": ["examples"],
    "structured streaming": ["spark"],
    "fine-tune": ["train"],
    "postgresql": ["train"],
    "voice activity": ["adopt", "examples"],
    "load": ["api/runtime"],
    "Stream": ["api/runtime"],
}
SEARCH = """
const fs = require("fs"), vm = require("vm"), [site, queries] = process.argv.slice(2);
const sandbox = {
  _: (text) => text, DOCUMENTATION_OPTIONS: {}, SPHINX_HIGHLIGHT_ENABLED: false, window: {}, _ready: () => {},
  document: { getElementById: () => null, documentElement: { dataset: {} } },
};
vm.createContext(sandbox);
const read = (name) => fs.readFileSync(`${site}/${name}`, "utf8");
vm.runInContext(read("_static/language_data.js") + "\\nvar Stemmer = window.Stemmer ?? Stemmer;", sandbox);
vm.runInContext(read("_static/searchtools.js"), sandbox);
vm.runInContext(read("searchindex.js"), sandbox);
sandbox.queries = JSON.parse(queries);
const found = vm.runInContext(`queries.map((query) =>
  Search._performSearch(...Search._parseQuery(query)).reverse().map((result) => result[0]))`, sandbox);
console.log(JSON.stringify(found));
"""
PAGES = ["index", "gallery", "api/runtime", "genindex"]
WIDTHS = [375, 1280]
# Elements of a page that are wider than they can be shown; in a table of figures one may scroll.
CUT = """[...document.querySelectorAll("article *")].filter((element) => {
  const style = getComputedStyle(element), inline = style.display.startsWith("inline");
  return element.getBoundingClientRect().right > innerWidth + 1
    || (!inline && style.overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1);
}).map((element) => element.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-d", str(folder / "doctrees")]
    subprocess.run([*command, str(DOCS), str(folder / "html")], cwd=ROOT, check=True)
    return folder / "html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def show(browser, site, page, width):
    browser.size(width, 900)
    browser.go((site / f"{page}.html").as_uri())
    browser.wait(f"document.readyState === 'complete' && location.pathname.endsWith('/{page}.html')")


def test_the_search_finds_the_page_of_a_job_by_the_names_that_people_use(site, tmp_path):
    script = tmp_path / "search.js"
    script.write_text(SEARCH)
    command = ["node", str(script), str(site), json.dumps(list(WANTED))]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    first = {query: list(dict.fromkeys(pages))[:3] for query, pages in zip(WANTED, found, strict=True)}
    assert len(WANTED) > 50
    assert {query: pages for query, pages in first.items() if not set(pages) & set(WANTED[query])} == {}


def test_the_search_of_the_first_page_shows_its_results(site, browser):
    show(browser, site, "index", 375)
    browser.value("document.querySelector('.find input').value = 'arduino'")
    form = "document.querySelector('.find')"  # what it asks for; the page would go there in the middle of an evaluation
    browser.go(browser.value(f"{form}.action + '?' + new URLSearchParams(new FormData({form}))"))
    browser.wait("document.querySelector('#search-results li a').textContent.startsWith('Microcontrollers')")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_off(site, browser, page, width):
    show(browser, site, page, width)
    assert browser.value(CUT) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(site, browser, width):
    pages = sorted(str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html"))
    wide = []
    for page in pages:
        show(browser, site, page, width)
        if browser.value("document.documentElement.scrollWidth") > width:
            wide.append(page)
    assert len(pages) > 30
    assert wide == []


def test_the_first_page_shows_a_state_and_leads_to_the_jobs(site, browser):
    show(browser, site, "index", 1280)
    assert browser.value("document.querySelectorAll('.state-over-time svg rect').length") == 3 * 5 * 40
    links = browser.value("[...document.querySelectorAll('.cards a')].map((link) => link.getAttribute('href'))")
    assert len(links) >= 13
    assert [link for link in links if not (site / link.partition("#")[0]).is_file()] == []
    assert browser.value("document.querySelector('.cards').getBoundingClientRect().bottom") < 1000
