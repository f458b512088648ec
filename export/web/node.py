"""The JavaScript of a model, stepped by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import BackendError, CompilerError
from ...runtime.format.manifest import Manifest
from ...runtime.worker.messages import RunResult, RunSpec

_TIMEOUT = 600.0  # seconds
# Every step counts as one that answers: the numbers of the others are compared too.
_DRIVER = """\
import * as model from "./model.mjs";
import {readFileSync} from "node:fs";
const {ids, features, states, each, kept, timed} = JSON.parse(readFileSync(0, "utf8"));
const still = Object.fromEntries(Object.entries(model.statics).map(([key, size]) => [key, new Float32Array(size)]));
const state = model.initialState(still), wanted = new Set(kept), outputs = [], after = [];
const advance = (t) => {
    state.steps = model.answers.first - 1;
    const given = Object.fromEntries(Object.entries(features).map(([key, rows]) => [key, rows[t]]));
    return model.symbols.length ? model.step(state, ids[t], given) : model.step(state, given);
};
for (let t = 0; t < ids.length; t++) {
    if (each || t === 0) for (const [key, rows] of Object.entries(states)) state[key].set(rows[t]);
    const found = advance(t);
    if (wanted.has(t)) outputs.push(model.outputs.map((key) => Array.from(found[key])));
    if (each || t === ids.length - 1) after.push(Object.keys(states).map((key) => Array.from(state[key])));
}
const before = process.cpuUsage();
for (let t = 0; t < timed; t++) advance(t % ids.length);
const {user, system} = process.cpuUsage(before);
console.log(JSON.stringify({outputs, states: after, microseconds: (user + system) / Math.max(timed, 1)}));
"""
_TIMED = 2_000  # steps


class NodeStep:
    """A module that steps a model, in Node."""

    def __init__(self, module: str, manifest: Manifest, folder: Path) -> None:
        """Write the module into `folder`.

        Raises:
            CompilerError: There is no Node here.
        """
        self._manifest, self._folder = manifest, folder
        node_version()
        (folder / "model.mjs").write_text(module)
        (folder / "driver.mjs").write_text(_DRIVER)

    def trace(self, spec: RunSpec) -> RunResult:
        """Step the symbols of `spec`.

        Raises:
            BackendError: A step failed, or Node did.
        """
        request = {
            "ids": spec.inputs.ids.tolist(),
            "features": {n: a.reshape(len(a), -1).tolist() for n, a in spec.inputs.features.items()},
            "states": {n: a.reshape(len(a), -1).tolist() for n, a in spec.state.items()},
            "each": spec.each,
            "kept": spec.kept_steps.tolist(),
            "timed": 0 if spec.each else _TIMED,
        }
        found = self._run(json.dumps(request))
        outputs: list[AnyArray] = [np.array(rows, np.float32) for rows in zip(*found["outputs"], strict=True)]
        tensors = zip(spec.state, zip(*found["states"], strict=True), strict=True)
        shapes = {tensor.name: tensor.shape for tensor in self._manifest.state}
        return RunResult(
            outputs[0],
            {name: np.array(rows, np.float32).reshape((-1, *shapes[name])) for name, rows in tensors},
            None if spec.each else float(found["microseconds"]),
            {each.name: array for each, array in zip(self._manifest.extra_outputs, outputs[1:], strict=True)},
        )

    def _run(self, request: str) -> dict[str, Any]:
        done = subprocess.run(
            ["node", str(self._folder / "driver.mjs")], input=request, capture_output=True, text=True, timeout=_TIMEOUT
        )
        if done.returncode:
            said = "\n".join(done.stderr.splitlines()[:20])
            raise BackendError(f"The JavaScript of {self._manifest.name} failed in Node:\n{said}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def node_version() -> str:
    """Return the version of Node on this machine.

    Raises:
        CompilerError: There is none, or it does not run.
    """
    found = shutil.which("node")
    done = found and subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60)
    if not done or done.returncode:
        raise CompilerError(
            "There is no Node here, so that JavaScript cannot be proven. Install it (Debian: apt-get install nodejs), "
            "or leave out --format js and --format html."
        )
    return str(done.stdout).strip()
