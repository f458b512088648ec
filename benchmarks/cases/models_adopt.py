"""Cases M5: graphs that others have made, which read numbers, and files with hidden state."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from stepcell.export.adopt import Adopted, adopt
from stepcell.runtime import load
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.data.audio import write_wav

from . import MODELS, ROOT, Row, json_lines, stepcell

sys.path.insert(0, str(ROOT / "tests"))  # of the package `support`, which makes graphs
from support import number_graphs as graphs

SILERO = ("--feature", "input", "--constant", "sr=16000", "--values", "--shape", "input=1,576")
STEP = (
    "from stepcell.runtime import load; s = load('vad.onnx').stream(); "
    "print(s.step(features={'input': chunk}).values)"
)  # fmt: skip


def _wheel(package: str, member: str) -> Path:
    """Download a package without its requirements, and unpack one file of it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = Path().glob("*.whl")
    path = Path(Path(member).name)
    path.write_bytes(zipfile.ZipFile(wheel).read(member))
    return path


def case_M5_silero(folder: Path) -> Row:  # noqa: N802
    """silero-vad is adopted and stepped exactly as the issue says, and answers as a raw session."""
    import onnxruntime

    path = _wheel("silero-vad", "silero_vad/data/silero_vad.onnx")
    done = stepcell("adopt", path, *SILERO, "--out", "vad.onnx")
    code = f"import numpy as np; chunk = np.full(576, 0.1, np.float32); {STEP}"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    fed = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16_000)}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    right = session.run(None, {"input": np.full((1, 576), 0.1, np.float32), **fed})[0][0]
    return Row("silero_vad.onnx and the commands of the issue", (0, str(right)), (done.returncode, shown.strip()))


def case_M5_rate(folder: Path) -> Row:  # noqa: N802
    """`sr` is not taken for the symbol: without options silero-vad is refused, and nothing is written."""
    path = _wheel("silero-vad", "silero_vad/data/silero_vad.onnx")
    seen = []
    for options in ((), ("--feature", "input"), ("--feature", "input", "--constant", "sr=16000")):
        done = stepcell("adopt", path, *options, "--out", "x.onnx")
        words = ("input, sr are neither", "sr are neither", "--shape input=1,N")
        seen.append(next((word for word in words if word in done.stderr), done.stderr[:60]))
    right = ["input, sr are neither", "sr are neither", "--shape input=1,N"]
    return Row("silero_vad.onnx with too few options", [*right, False], [*seen, Path("x.onnx").exists()])


def case_M5_doctor(folder: Path) -> Row:  # noqa: N802
    """`doctor` says "runs here" of a file that was stepped alone."""
    path = graphs.chunks(folder / "chunks.onnx")
    options = {"features": ["chunk"], "constants": {"rate": 10}, "shapes": {"chunk": (1, 5)}}
    adopt(path, folder / "adopted.onnx", output="level", values=True, **options)
    seen = [stepcell("doctor", one).stdout.split(" on ")[0].split(":")[0] for one in (path, "adopted.onnx")]
    return Row("chunks, before and after adoption", ["does not run here", "runs here"], seen)


def case_M5_one_left(folder: Path) -> Row:  # noqa: N802
    """The only input that is left is read at each step: no question, no --yes."""
    done = stepcell("adopt", graphs.lstm(folder / "m.onnx", names=("a", "b")), "--out", "x.onnx")
    said = [text in done.stderr for text in ("--feature x", "--state h_in=a (the operator LSTM", "--state c_in=b (the")]
    return Row("an LSTM with states a and b", (0, [True] * 3), (done.returncode, said))


def case_M5_contradiction(folder: Path) -> Row:  # noqa: N802
    """Names that say otherwise than the operator are a question."""
    path = graphs.lstm(folder / "m.onnx", names=("c_out", "h_out"))
    codes = [stepcell("adopt", path, "--out", "x.onnx", *more).returncode for more in ((), ("--yes",))]
    return Row("h_out is the next c", [2, 0], codes)


def case_M5_integers(folder: Path) -> Row:  # noqa: N802
    """An int64 counter is a state, and means are exact."""
    adopt(graphs.counter(folder / "m.onnx"), folder / "x.onnx")
    stream = load(folder / "x.onnx").stream()
    seen = [stream.step(features=[float(k), 1.0]).values.tolist() for k in (1, 2, 6)]
    return Row("a mean since the reset", [[1, 1], [1.5, 1], [3, 1], [[3]]], [*seen, stream.state["n"].tolist()])


def case_M5_sound(folder: Path) -> Row:  # noqa: N802
    """`predict` answers WAV and raw float32 as stepping answers, and refuses another rate with both."""
    path, samples = MODELS / "level.onnx", (np.arange(20) % 7 / 8).astype(np.float32)
    stream = load(path).stream()
    right = [float(f"{stream.step(features=chunk).values[0]:.6g}") for chunk in samples.reshape(4, 5)]
    Path("x.wav").write_bytes(write_wav(samples, 10))
    Path("y.wav").write_bytes(write_wav(samples, 44_100))
    raw = stepcell("predict", path, "--format", "f32", "--json", input=samples.tobytes())
    wav = stepcell("predict", path, "--format", "wav", "--json", "--input", "x.wav")
    seen = [[line["values"][0] for line in json_lines(one.stdout)] for one in (raw, wav)]
    other = stepcell("predict", path, "--format", "wav", "--input", "y.wav").stderr
    both = "44,100 samples per second" in other and "1 channel, 10 samples per second" in other
    return Row("20 samples", [right, right, True], [*seen, both])


def case_M5_lift(folder: Path) -> Row:  # noqa: N802
    """Variables become inputs and outputs with their start values, proven bit for bit."""
    seen = {}
    for name in ("gru", "lstm", "counter", "ring"):
        found = adopt(MODELS / "hidden" / f"{name}.tflite", folder / "x.tflite", lift=True)
        assert isinstance(found, Adopted)
        starts = sorted((tensor.dtype, tensor.initial) for tensor in found.manifest.state)
        seen[name] = "equal bit for bit over 1,000 steps" in found.remarks[0], starts
    zero = ("float32", 0.0)
    right = {"gru": [zero], "lstm": [zero, zero], "counter": [zero, ("float32", 0.5), ("int32", 0.0)],
             "ring": [("int8", -128.0)]}  # fmt: skip
    return Row("four files with hidden state", {name: (True, starts) for name, starts in right.items()}, seen)


def case_M5_lift_refused(folder: Path) -> Row:  # noqa: N802
    """What cannot be lifted is refused with the one reason; without --lift there is a hint."""
    seen = []
    for name, lift in (("branch", True), ("two_signatures", True), ("gru", False)):
        try:
            adopt(MODELS / "hidden" / f"{name}.tflite", folder / "x.tflite", lift=lift)
        except StepcellError as error:
            words = ("inside a loop or branch", "signatures reset, step", "stepcell adopt FILE --lift")
            seen.append([word for word in words if word in str(error)])
    right = [["inside a loop or branch"], ["signatures reset, step"], ["stepcell adopt FILE --lift"]]
    return Row("a variable in a branch, two signatures, no --lift", right, seen)


def case_M5_microwakeword(folder: Path) -> Row:  # noqa: N802
    """A published wake word of eight bits is lifted: six int8 states that start at -128."""
    path = _wheel("pymicro-wakeword==2.5.0", "pymicro_wakeword/models/okay_nabu.tflite")
    done = stepcell("adopt", path, "--lift", "--out", "lifted.tflite")
    state = load("lifted.tflite").manifest.state if done.returncode == 0 else ()
    seen = done.returncode, [(tensor.dtype, tensor.initial) for tensor in state]
    return Row("okay_nabu.tflite", (0, [("int8", -128.0)] * 6), seen)
