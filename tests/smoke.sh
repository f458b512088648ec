#!/bin/sh
# A fresh environment with nothing but stepcell[tflite] must step a model file: no TensorFlow, no exporter.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
# From a copy of the tracked files: a build/ folder that lies about would end up in the wheel.
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/source")
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade pip
"$work/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
"$work/venv/bin/python" -m pip install --quiet -c "$root/constraints.txt" "$(ls "$work"/stepcell-*.whl)[tflite]"
cd "$work"
"$work/venv/bin/python" -I - "$root/tests/data/memory.tflite" <<'PY'
import importlib.util
import sys

from stepcell.runtime import load

assert importlib.util.find_spec("tensorflow") is None, "TensorFlow is installed"
model = load(sys.argv[1])
stream = model.stream()
answers = {}
for key in "34":
    stream.reset()
    answers[key] = [stream.step(symbol).symbol for symbol in (key, "0", "1", "2")][-1]
assert answers == {"3": "3", "4": "4"}, answers
unwanted = {"tensorflow", "keras", "typer", "h5py", "onnx"} & set(sys.modules)
assert not unwanted, unwanted
print(f"{model}: after 3,0,1,2 comes {answers['3']}, after 4,0,1,2 comes {answers['4']}")
PY
printf '4\n0\n1\n2\n' | "$work/venv/bin/stepcell" predict "$root/tests/data/memory.tflite" | tail -n 1 | grep -qx 4
"$work/venv/bin/stepcell" doctor "$root/tests/data/memory.tflite" | tee "$work/diagnosis" | sed -n 1p
grep -q "^runs here on " "$work/diagnosis"
"$work/venv/bin/python" -m pip list 2>/dev/null | tail -n +3 | awk '{printf "%s%s %s", sep, $1, $2; sep=", "} END {print ""}'
echo "smoke: passed"
