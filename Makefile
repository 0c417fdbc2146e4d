# Everything happens in a virtual environment inside the project: the first target that needs it makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
PYTEST := $(BIN)/python -m pytest
RUN_NOTEBOOKS := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False
SAMPLED := build/figures-graphs
FAULTS := $(if $(FULL),full,quick)
SPLITS := val test wide deep dense bnfree

.DEFAULT_GOAL := help
NOTEBOOKS := embeddings correlations ranking parameter_prediction your_network

.PHONY: help setup demo test test-all faults audit lint notebooks figures docs clean

help:
	@echo "make demo      embed, probe and map the architectures that ship with archrep"
	@echo "make test      run the tests (CPU, offline)"
	@echo "make test-all  run the slow and GPU tests too"
	@echo "make faults    kills, full disks, hostile files, load: half an hour (FULL=1: hours, goes on where it stopped)"
	@echo "make audit     known vulnerabilities of what is installed (asks a service)"
	@echo "make lint      ruff and mypy"
	@echo "make notebooks run all notebooks, store their outputs and the figures they draw"
	@echo "make figures   draw every figure in figures/ again: notebooks, map, statistics of DeepNets"
	@echo "make docs      build the documentation site (docs/_build); a broken reference fails"
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
	ARCHREP_NOTEBOOK_SIZE=small OMP_NUM_THREADS=1 $(PYTEST) -n 2 -m "not slow and not gpu" --nbmake tests $(NOTEBOOKS:%=notebooks/%.ipynb)

test-all: setup
	$(PYTEST) --nbmake tests $(NOTEBOOKS:%=notebooks/%.ipynb)

# A table of what was tried: build/faults.md, of the full set benchmarks/faults.md.
faults: setup
	$(if $(FULL),,rm -f build/faults-quick.jsonl)
	ARCHREP_AUDIT=1 ARCHREP_FAULTS=$(FAULTS) OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist worksteal -m "not gpu" tests/faults; status=$$?; \
	$(BIN)/python -m tests.faults.table $(FAULTS) --out $(if $(FULL),benchmarks,build)/faults.md; exit $$status

audit: setup
	ARCHREP_AUDIT=1 $(PYTEST) tests/faults/test_supply.py -k vulnerabilities

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: setup
	$(BIN)/jupytext --quiet --to ipynb --update $(NOTEBOOKS:%=notebooks/%.py)
	ARCHREP_FIGURES=$(CURDIR)/figures OMP_NUM_THREADS=1 $(RUN_NOTEBOOKS) $(NOTEBOOKS:%=notebooks/%.ipynb)

# The text of the notebooks is what counts; one thread, so that a second run draws the same bytes.
figures: notebooks
	OMP_NUM_THREADS=1 $(BIN)/archrep map --color accuracy --out figures/map-accuracy --force
	$(BIN)/archrep sample --split train -n 5000 --out $(SAMPLED)/train --force
	for split in $(SPLITS); do $(BIN)/archrep sample --split $$split --out $(SAMPLED)/$$split --force || exit 1; done
	$(BIN)/archrep info $(SAMPLED)/train $(SPLITS:%=$(SAMPLED)/%) --out figures/deepnets-statistics --force

# The page of all commands is typer's; a test says when it is out of date.
docs: setup
	$(BIN)/python -m typer archrep.cli.main utils docs --name archrep --title Commands --output docs/commands.md
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky docs docs/_build
	@echo "Documentation: docs/_build/index.html"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
