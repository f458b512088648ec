# Every target sets up what it needs. PYTHON names another interpreter: make test PYTHON=python3.12
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
EXTRAS := tflite,litert,onnx,plot,export,search-db,parquet,serve,spark,tflm
# The environment of the tests is one for the demo too.
DEMO   := $(if $(wildcard $(VENV)/.ready),$(VENV),.venv-demo)

PYTEST := $(BIN)/python -m pytest -n auto --dist loadscope  # each module on one worker: its fixtures are made once

.DEFAULT_GOAL := help
.PHONY: help wheels demo test test-slow test-all coverage test-matrix faults lint smoke docs bench native pi mcu fuzz soak constraints clean

help:                     ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO)/.ready      ## train, export, prove and step the memory problem; installs that alone in .venv-demo
	$(DEMO)/bin/stepcell demo

test: $(READY)            ## the test suite without what needs long runs
	$(PYTEST) -m "not slow"

test-slow: $(READY)       ## what needs long runs: grids of 10,000 steps, search, resume, reproduction, tutorials
	$(PYTEST) -m slow

test-all: test test-slow  ## the whole test suite

coverage: $(READY)        ## branch coverage of `make test`; fails below the floor in pyproject.toml
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

test-matrix: $(READY)     ## the abi3 wheel, tested on every supported Python of this machine
	$(BIN)/python tests/matrix.py $(VERSIONS)

faults: $(READY)          ## ten faults put in on purpose, and how many tests notice each
	$(BIN)/python benchmarks/faults.py

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

mcu: $(READY)             ## three models as C on emulated microcontrollers; MCU_OPTIONS="--board cortex-m4" for one of the four
	$(BIN)/python benchmarks/mcu/emulate.py tests/data/memory.tflite tests/data/stack.tflite tests/data/wide.tflite $(MCU_OPTIONS)

fuzz: $(READY)            ## damaged files of every kind: model files on every interpreter, data, run folders, stores
	$(BIN)/python benchmarks/fuzz.py

soak: $(READY)            ## 50 million symbols: no growth of memory, the same bits again
	$(BIN)/python benchmarks/soak.py

constraints: $(READY)     ## resolve the versions in constraints.txt anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.10 --all-extras --group dev --no-header --no-annotate --upgrade \
	  pyproject.toml --output-file constraints.txt

native:                   ## compile the engine beside its source, for imports from the tree; `make` compiles it too
	$(or $(wildcard $(BIN)/python),python3) setup.py --quiet build_ext --inplace

wheels: $(READY)          ## in dist/: wheels for Python 3.10 and later on this kind of machine and for all, and the source; twine checks
	$(BIN)/python tests/wheels.py

$(READY): pyproject.toml constraints.txt $(wildcard runtime/interpreters/native/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps keras-tcn==3.5.7
	touch $(READY)

# Without the bytecode of modules that no demo imports: a tenth of the size, and of the time.
.venv-demo/.ready: pyproject.toml constraints.txt $(wildcard runtime/interpreters/native/*.[ch])
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --no-compile -c constraints.txt -e '.[tflite,train-cpu]'
	touch $@

clean:                    ## remove the environments and caches; models in build/ and runs/ stay
	rm -rf $(VENV) .venv-demo .venv-matrix dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find runtime -name "_engine.*.so" -delete
	rm -rf build/docs build/doctrees build/lint build/lib build/bdist.* build/coverage build/mypy
	find . -name __pycache__ -not -path "./.git/*" -prune -exec rm -rf {} +
