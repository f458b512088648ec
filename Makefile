# Every target sets up what it needs. PYTHON names another interpreter: make test PYTHON=python3.12
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
EXTRAS := tflite,litert,onnx,plot,export,search,parquet

.PHONY: demo test lint smoke docs bench pi fuzz soak constraints clean

demo: $(READY)            ## train, export, prove and step the memory problem
	$(BIN)/stepcell demo

test: $(READY)            ## the whole test suite
	$(BIN)/python -m pytest -n auto

lint: $(READY)            ## ruff, and mypy over the package as it is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lib build/bdist.* build/lint
	$(BIN)/python -m pip install --quiet --no-deps --target build/lint .
	rm -rf build/lib build/bdist.*
	cd build/lint && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p stepcell

smoke:                    ## a fresh environment with stepcell[tflite] alone steps the golden file
	PYTHON=$(PYTHON) sh tests/smoke.sh

docs: $(READY)            ## the pages and the reference as a site in build/docs, readable without a network
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env -d build/doctrees docs build/docs

bench: $(READY)           ## speed of a step, as ratios within one process
	$(BIN)/python benchmarks/step.py

pi: $(READY)              ## the golden files on emulated Raspberry Pi OS; SYSTEMS="bookworm64 trixie32" for some of the four
	$(BIN)/python benchmarks/pi/prove.py $(SYSTEMS) $(PI_OPTIONS)

fuzz: $(READY)            ## 10,000 damaged files on every interpreter
	$(BIN)/python benchmarks/fuzz.py

soak: $(READY)            ## 50 million symbols: no growth of memory, the same bits again
	$(BIN)/python benchmarks/soak.py

constraints: $(READY)     ## resolve the versions in constraints.txt anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.10 --all-extras --group dev --no-header --no-annotate --upgrade \
	  pyproject.toml --output-file constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
