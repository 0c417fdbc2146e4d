# Everything happens in a virtual environment inside the project: the first target that needs it makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint notebooks clean

help:
	@echo "make demo      embed, probe and map the architectures that ship with archrep"
	@echo "make test      run the tests (CPU, offline)"
	@echo "make test-all  run the slow and GPU tests too"
	@echo "make lint      ruff and mypy"
	@echo "make notebooks run all notebooks and store their outputs"
	@echo "make clean     remove the virtual environment and caches"

# One stamp per set of packages; pip's own environment variables and configuration are honoured.
$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.dev

demo: $(VENV)/.base
	$(BIN)/archrep embed --out $(DEMO)/embeddings.parquet --force
	$(BIN)/archrep probe --target accuracy --embeddings $(DEMO)/embeddings.parquet --out $(DEMO)/probe-accuracy --force
	$(BIN)/archrep map --color accuracy --embeddings $(DEMO)/embeddings.parquet --out $(DEMO)/map-accuracy --force
	@echo
	@echo "Embedding table:  $(DEMO)/embeddings.parquet"
	@echo "Probe (τ table):  $(DEMO)/probe-accuracy/report.json, scatter.png"
	@echo "Map:              $(DEMO)/map-accuracy.png"

test: setup
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 -m "not slow and not gpu" --nbmake tests notebooks/embeddings.ipynb

test-all: setup
	$(PYTEST) --nbmake tests notebooks/embeddings.ipynb

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: setup
	$(BIN)/jupytext --sync notebooks/*.ipynb
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
