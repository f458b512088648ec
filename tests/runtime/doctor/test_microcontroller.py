"""Whether a model fits on a microcontroller."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from support.models import ADOPTED, DATA, path_of
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import OptionError
from stepcell.runtime.commands.doctor import TargetName
from stepcell.runtime.doctor import TARGET_NAMES
from stepcell.runtime.doctor.microcontroller import CORES, fit

MEMORY = DATA / "memory.tflite"


def doctor(*arguments):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.mark.parametrize("core", CORES)
def test_a_small_model_fits_on_every_core(core):
    found = fit(MEMORY, core, flash="256K", ram="16K")
    assert not found.problems
    assert 8660 < found.flash < 12_000
    assert 480 < found.ram < 1024
    assert found.as_text().startswith("fits on")


def test_a_model_that_is_too_large_is_refused_with_both_sizes():
    found = fit(MEMORY, "cortex-m4", flash="8K", ram="512")
    assert len(found.problems) == 2
    assert "of flash, there are 8,192" in found.as_text()
    assert "of RAM, there are 512" in found.as_text()
    assert doctor(MEMORY, "--target", "cortex-m4", "--flash", "8K").exit_code == 1


def test_what_has_no_c_does_not_run_there(monkeypatch):
    assert not fit(ADOPTED[0], "cortex-m4").problems
    assert not fit(path_of("personal", "tflite"), "cortex-m4").problems
    monkeypatch.setattr("stepcell.runtime.interpreters.numpy_engine.from_tflite.KNOWN", frozenset(["SPLIT"]))
    assert "there is no C for it: it does not know the operators" in fit(MEMORY, "cortex-m4").as_text()


def test_the_figures_are_there_as_json():
    found = json.loads(doctor(MEMORY, "--target", "cortex-m0", "--json").stdout)
    assert (found["fits"], found["constants"], found["state"], found["work"]) == (True, 8660, 160, 320)
    assert found["multiplications"] == 20 * 80 + 20 * 5


def test_int8_weights_and_tables_are_counted():
    plain, small = fit(MEMORY, "cortex-m0"), fit(MEMORY, "cortex-m0", int8=True, tables=True)
    assert small.use.constants == 2840 + 644
    assert small.flash < 0.7 * plain.flash
    assert "--quantize int8 --no-fpu" in plain.as_text()
    assert "in software" not in small.as_text()
    assert f"stepcell c {MEMORY} --quantize int8 --no-fpu --out" in small.as_text()
    found = json.loads(doctor(MEMORY, "--target", "cortex-m0", "--quantize", "int8", "--json").stdout)
    assert (found["constants"], found["work"]) == (2840, 360)
    assert doctor(MEMORY, "--quantize", "int8").exit_code == 2


def test_sizes_and_files_that_make_no_sense_are_wrong_usage():
    with pytest.raises(OptionError, match="2x.*256K"):
        fit(MEMORY, "cortex-m4", ram="2x")
    assert doctor("--target", "cortex-m4").exit_code == 2
    assert doctor(MEMORY, "--flash", "8K").exit_code == 2


def test_the_command_takes_every_target():
    assert set(get_args(TargetName)) == {*TARGET_NAMES, *CORES}
