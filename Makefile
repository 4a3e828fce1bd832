# Each target does all of its own set-up: clone, then `make demo` or `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test check install clean

demo: $(VENV)/.installed ## the embedded family: a table and a report, no download
	$(BIN)/concord demo

test: $(VENV)/.installed-tests ## the whole test suite
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/.installed-checks ## style, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/ty check --error-on-warning
	$(BIN)/lint-imports

install: $(VENV)/.installed

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-tests: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-checks: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,check]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-tests

clean:
	rm -rf $(VENV) concord-demo runs dist build .pytest_cache .ruff_cache
