#!/bin/sh
# Install the wheel in fresh environments: stepcell[tflite] alone must step a model file from the command line, without
# TensorFlow or an exporter; plain stepcell must be a library that steps with numpy and says how to get the command.
set -eu
unset PYTHONPATH PYTHONHOME
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
# From a copy of the tracked files: a build/ folder that lies about would end up in the wheel.
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/source")
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade pip
"$work/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
wheel=$(ls "$work"/stepcell-*.whl)
cd "$work"

install() { # folder, extra
  "${PYTHON:-python3}" -m venv "$1"
  "$work/venv/bin/python" -m pip --python "$1/bin/python" install --quiet -c "$root/constraints.txt" "$wheel$2"
}

step() { # folder: steps the model with the best interpreter there
  "$1/bin/python" -I - "$root/tests/data/memory.tflite" <<'PY'
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
}

packages() { # folder
  "$work/venv/bin/python" -m pip --python "$1/bin/python" list 2>/dev/null | tail -n +3 |
    awk '{printf "%s%s %s", sep, $1, $2; sep=", "} END {print ""}'
}

install "$work/tflite" '[tflite]'
step "$work/tflite"
printf '4\n0\n1\n2\n' | "$work/tflite/bin/stepcell" predict "$root/tests/data/memory.tflite" | tail -n 1 | grep -qx 4
"$work/tflite/bin/stepcell" doctor "$root/tests/data/memory.tflite" | tee "$work/diagnosis" | sed -n 1p
grep -q "^runs here on " "$work/diagnosis"
packages "$work/tflite"

install "$work/plain" ''
step "$work/plain"
if "$work/plain/bin/stepcell" --help 2>"$work/advice"; then
  echo "stepcell without typer should have failed" >&2
  exit 1
fi
cat "$work/advice"
grep -q "pip install 'stepcell\[cli\]'" "$work/advice"
packages "$work/plain"
echo "smoke: passed"
