"""Faults of an export: the worth of a parity check shows when something is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stepcell.export import model_files
from stepcell.export.model_files import build_file, prove_file
from stepcell.export.parity.device_process import installed_backends
from stepcell.export.parity.expected import expected_runs
from stepcell.export.parity.window_reference import reference_of


def break_export(monkeypatch, format, change, quantization=None):
    """Let files of `format` (and of one precision) be made from a step function whose `advance` was changed."""
    right = model_files.convert

    def wrong(step_function, its_format, its_quantization):
        broken = replace(step_function, advance=change(step_function.advance))
        is_broken = its_format == format and quantization in (None, its_quantization)
        return right(broken if is_broken else step_function, its_format, its_quantization)

    monkeypatch.setattr(model_files, "convert", wrong)


def expected_of(prepared, **options):
    """The expected runs of a prepared model."""
    return expected_runs(prepared.step_function, reference_of(prepared.model, prepared.step_function), **options)


def build_broken(prepared, change, format, folder, precision="float32"):
    """A file built from a step function whose `advance` was changed; its golden sequence is the right one."""
    step_function = replace(prepared.step_function, advance=change(prepared.step_function.advance))
    broken = build_file(replace(prepared, step_function=step_function), format, precision, folder)
    golden = model_files.golden_of(prepared.step_function, precision)
    return replace(broken, manifest=replace(broken.manifest, golden=golden))


def prove(built, expected, device, backends=None, **options):
    """Write `built` and prove it, on every interpreter or on the given ones."""
    built.write()
    return prove_file(built, expected, backends or installed_backends(built.path.suffix[1:]), device, **options)


class _ReversedTables:
    """Operations that look rows up in the opposite order."""

    def __init__(self, ops):
        self._ops = ops

    def __getattr__(self, name):
        return getattr(self._ops, name)

    def gather(self, table, ids):
        return self._ops.gather(np.flipud(table).copy(), ids)


def reversed_tables(advance):
    """A step that looks rows up in the opposite order."""
    return lambda ops, inputs, state: advance(_ReversedTables(ops), inputs, state)


def answering(change):
    """Change what a step answers and nothing else: `change` takes and returns the outputs by name."""

    def changed(advance):
        def wrong(ops, inputs, state):
            answers, following = advance(ops, inputs, state)
            return change(answers), following

        return wrong

    return changed


def miswired(advance, fault):
    """The step of a model with one fault in where its state goes."""

    def wrong(ops, inputs, state):
        if fault == "reset at every step":
            state = {name: 0.0 * value for name, value in state.items()}
        answer, following = advance(ops, inputs, state)
        if fault == "h and c swapped":
            following = {**following, "h0": following["c0"], "c0": following["h0"]}
        elif fault == "never fed back":
            following = {name: value + 0.0 for name, value in state.items()}
        elif fault == "only h fed back":
            following = {**following, "c0": state["c0"] + 0.0}
        elif fault == "layers swapped":
            following = {**following, "h0": following["h1"], "h1": following["h0"]}
        return answer, following

    return wrong
