# What a person types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# DVC starts `python` for each stage, which must be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
UI_PORT ?= 5000
SERVE_PORT ?= 5001
PROJECTOR_PORT ?= 6006
SWEEP ?= sweep=margin_dim
SOAK ?= 20

.DEFAULT_GOAL := help
.PHONY: help setup repro mnist sweep test soak lint format bench ui serve projector lock audit clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## the environment in .venv, from requirements.lock

repro: $(READY)  ## compose the settings, run the stages that have changed, show the result
	@exec $(BIN)/python -m stages.repro --end-with $$PPID

mnist: $(READY)  ## download MNIST, then the pipeline on it as an experiment (about 8 minutes)
	@exec $(BIN)/python -m stages.repro --end-with $$PPID --download mnist experiment=mnist

sweep: $(READY)  ## margin × embedding size, 16 jobs; SWEEP="…" for another one, as in SWEEP="sweep=optuna"
	@exec $(BIN)/python -m stages.sweep --end-with $$PPID -m $(SWEEP)

test: lint  ## lint, types, tests; the losses on JAX too
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
	@KERAS_BACKEND=jax $(BIN)/python -m pytest --numprocesses 2 tests/train/test_losses.py

soak: $(READY)  ## kill `make repro` again and again, at random moments (SOAK=20 rounds, about an hour)
	@SOAK=$(SOAK) $(BIN)/python -m pytest tests/test_kills.py

lint: $(READY)  ## format, lint and types
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(READY)  ## put the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY)  ## time and memory, as ratios
	@set -e; for script in tests/benchmarks/bench_*.py; do $(BIN)/python -m tests.benchmarks.$$(basename "$$script" .py); done

ui: $(READY)  ## compare runs in the browser
	@$(BIN)/python -m stages.tracking ui --port $(UI_PORT)

serve: $(READY)  ## answer images with embeddings over HTTP
	@$(BIN)/python -m stages.tracking serve --port $(SERVE_PORT)

projector: $(READY)  ## walk through the embedding in three dimensions, in TensorBoard
	@$(BIN)/python -m stages.render.projector --port $(PROJECTOR_PORT)

lock: $(READY)  ## renew requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal --generate-hashes --upgrade \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

audit: $(READY)  ## known vulnerabilities of the packages in requirements.lock; needs the network
	@$(BIN)/python -m tests.audit

clean:  ## remove what the pipeline made, keep the environment and the recorded runs
	rm -rf artifacts metrics plots data/prepared data/batches.npy .checkpoints

# uv installs in a fifth of pip's time; without it pip does. Compiled once here, else at every import.
$(READY): requirements.lock
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -c 'import sys; v = sys.version_info; \
	sys.exit(None if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v.major}.{v.minor}; try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages of requirements.lock into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5' 2>/dev/null \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --compile -r requirements.lock
	@touch $@
