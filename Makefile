# Everything a newcomer, a developer and CI run. Needs only Python >= 3.11 and make; `make help` lists the targets.
#
#   PYTHON=python3.12    the interpreter of the virtual environment
#   PIP_FIND_LINKS=...   a folder or page with wheels (a CPU build of torch, say); passed on to uv, which does not read pip's settings
#   LATENTIA_DATA=...    the folder with data sets, for the tests that want real data

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
UV     := $(shell command -v uv 2>/dev/null)

# Two workers with one thread each: two threads in each of two processes are slower than one in each.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg
WORKERS  ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow mutate lint format bench build clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make the virtual environment (every other target does this first, once)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Latentia needs Python 3.11 or newer, and $(PYTHON) is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
ifneq ($(UV),)
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS=$(PIP_FIND_LINKS)) $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode \
	  --constraints constraints.txt --build-constraints constraints.txt --editable '.[tables,flows]' --group dev
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt --editable '.[tables,flows]' --group dev
endif
	@touch $@

demo: $(STAMP)  ## Fit a VAE to handwritten digits, print the table, write the report (under a minute)
	$(BIN)/latentia fit vae digits --set latent_dim=2 --set hidden=200,100 --set max_epochs=400 --set patience=50 \
	  --seed 0 --out runs/demo --overwrite --beat-baseline 5

test: $(STAMP)  ## The suite (under 5 minutes on two cores)
	$(TEST_ENV) $(BIN)/pytest -n $(WORKERS) -rs -m "not slow"

test-slow: $(STAMP)  ## Crashes at random instants, converged oracles, then the mutations (under 10 minutes)
	$(TEST_ENV) $(BIN)/pytest -n $(WORKERS) -rs -m slow
	@$(MAKE) --no-print-directory mutate

mutate: $(STAMP)  ## Flip signs, axes and reductions one at a time: the tests must notice every one
	$(TEST_ENV) $(BIN)/python tools/mutate.py --jobs $(WORKERS)

lint: $(STAMP)  ## Linter, formatter, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)  ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## The benchmarks behind docs/benchmarks.md (the rivals need bench/README.md's throw-away environment)
	$(BIN)/python -m bench

build: $(STAMP)  ## Wheel and source distribution in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## Remove everything that can be made again, the virtual environment included
	rm -rf $(VENV) build dist htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
