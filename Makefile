# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGE := $(filter-out benchmarks/% tests/%, $(wildcard *.py */*.py */*/*.py */*/*/*.py */*/*.npz */templates/*)) \
	setup.cfg pyproject.toml

.PHONY: demo test check bench clean

demo: $(VENV)/.installed
	$(BIN)/frostgrid demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stale build/ would put deleted modules into the package, so it goes first.
$(VENV)/.installed: $(BIN)/python $(PACKAGE)
	rm -rf build
	$(BIN)/python -m pip install --quiet .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
