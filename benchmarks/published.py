"""Adopt models that others have published, from PyPI, and compare them with the raw interpreter.

    python benchmarks/published.py

Downloads silero-vad (ONNX with explicit state) and pymicro-wakeword 2.5.0 (TFLite of eight bits with hidden state) with
pip, without their requirements, into a temporary folder. silero-vad is stepped beside a session of onnxruntime;
microWakeWord is lifted, which proves it bit for bit, and then stepped beside the file with the state inside.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from stepcell.export.adopt import Adopted, adopt
from stepcell.runtime import load
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.common.terminal import print_table

STEPS = 1_000
SILERO = {  # file -> whether it asks for the rate
    "silero_vad": True, "silero_vad_16k_op15": True, "silero_vad_op18_ifless": True, "silero_vad_half": False,
    "silero_vad_openvino_16k": False, "silero_vad_16k_sequence": False,
}  # fmt: skip
WAKEWORDS = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")


def download(package: str, folder: Path) -> Path:
    """Return the folder of an unpacked wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def silero(path: Path, out: Path, *, with_rate: bool) -> str:
    """Adopt one of the files of silero-vad and return what came of it."""
    constants = {"sr": 16_000} if with_rate else {}
    adopted = adopt(path, out, features=["input"], constants=constants, shapes={"input": (1, 576)}, values=True)
    assert isinstance(adopted, Adopted)
    import onnxruntime

    session, mapping = onnxruntime.InferenceSession(path), adopted.manifest.io_mapping
    assert mapping is not None
    state = {source.name: np.zeros(source.shape, np.float32) for source, _ in mapping.state.values()}
    fed = {name: np.array(value, np.int64) for name, value in constants.items()}
    names = [mapping.output.name, *(target.name for _, target in mapping.state.values())]
    stream, random, worst = load(out).stream(), np.random.default_rng(1), 0.0
    for _ in range(STEPS):
        chunk = random.normal(0, 0.3, 576).astype(np.float32)
        answer, *following = session.run(names, {"input": chunk[np.newaxis], **state, **fed})
        state = dict(zip(state, following, strict=True))
        worst = max(worst, float(np.abs(stream.step(features=chunk).values - answer.reshape(-1)).max()))
    return f"difference {worst:g} over {STEPS:,} steps, {', '.join(map(str, adopted.mapping.pairs))}"


def wakeword(path: Path, out: Path) -> str:
    """Lift one of the files of microWakeWord and return what came of it."""
    adopted = adopt(path, out, lift=True)
    assert isinstance(adopted, Adopted)
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    (scale, zero_point), (out_scale, out_zero) = source["quantization"], target["quantization"]
    stream, random, worst, seen = load(out).stream(), np.random.default_rng(2), 0.0, set()
    for _ in range(STEPS):
        mean = random.choice([-128, -90, -30, 30])
        fed = (random.normal(0, random.choice([5, 20, 60]), source["shape"]) + mean).clip(-128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], fed)
        interpreter.invoke()
        answer = (interpreter.get_tensor(target["index"]).astype(np.float32) - out_zero) * np.float32(out_scale)
        numbers = (fed.astype(np.float32) - zero_point) * np.float32(scale)
        found = stream.step(features=numbers.reshape(3, 40)).values
        worst = max(worst, float(np.abs(found - answer.reshape(-1)).max()))
        seen.add(found.tobytes())
    return f"difference {worst:g} over {STEPS:,} steps, {len(seen)} distinct answers; {adopted.remarks[0]}"


def main() -> int:
    """Adopt all of them and print a table."""
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, name) for name in ("silero", "wakeword")]
        for folder, package in zip(folders, ("silero-vad", "pymicro-wakeword==2.5.0"), strict=True):
            folder.mkdir()
            download(package, folder)
        out = Path(temporary, "out")
        for name, with_rate in SILERO.items():
            path = folders[0] / "silero_vad" / "data" / f"{name}.onnx"
            try:
                rows.append([name, silero(path, out.with_suffix(".onnx"), with_rate=with_rate)])
            except StepcellError as error:
                rows.append([name, str(error)])
                failed = 1
        for name in WAKEWORDS:
            path = folders[1] / "pymicro_wakeword" / "models" / f"{name}.tflite"
            try:
                rows.append([name, wakeword(path, out.with_suffix(".tflite"))])
            except StepcellError as error:
                rows.append([name, str(error)])
                failed = 1
    print_table(["model", "result"], rows)
    return failed


if __name__ == "__main__":
    sys.exit(main())
