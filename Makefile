# make demo: set everything up and measure the small demo model.   make test: set up and run everything that is tested.
PYTHON ?= python3
# What the tests need: `make test TEST_GROUPS=dev` leaves out torch and Ray (1.3 GB), and skips their tests.
TEST_GROUPS ?= dev engines
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean

demo: $(VENV)/.installed
	$(BIN)/kvassay demo

test: $(VENV)/.developing lint
	$(BIN)/pytest

lint: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/assay.py

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.installed: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.developing: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet $(addprefix --group ,$(TEST_GROUPS))
	touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
