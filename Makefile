# `make bench` measures this machine, `make test` checks the code; each first sets up .venv with all that it needs.

comma := ,
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The newest CUDA that the NVIDIA driver supports, if there is a driver: 12 or 13.
CUDA := $(shell nvidia-smi 2>/dev/null | sed -n 's/.*CUDA[A-Za-z ]*Version: *\([0-9]*\).*/\1/p' | head -n 1)
EXTRAS := jax$(if $(filter 12,$(CUDA)),$(comma)cuda12)$(if $(filter-out 12,$(filter 1%,$(CUDA))),$(comma)cuda13)

.PHONY: bench test lint clean

bench: $(VENV)/bench.stamp
	$(BIN)/arraybench run

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("arraybench needs Python 3.11 or later; this is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/bench.stamp: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/test.stamp: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS),dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
