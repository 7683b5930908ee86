# Everything runs from .venv, which is made where it is missing.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-external check bench
.DELETE_ON_ERROR:

demo: .venv/installed ## the whole chain on example data
	$(BIN)/callmart demo

test: .venv/installed-dev ## the whole suite
	$(BIN)/python -m pytest

test-external: .venv/installed-dev ## the walls between customers on Debian's PostgreSQL 17, over TLS
	$(BIN)/python -m pytest -m external -n 0

bench: .venv/installed-dev ## speed and waits, each against its measure in one run
	$(BIN)/python bench/landing.py
	$(BIN)/python bench/building.py
	$(BIN)/python bench/nights.py
	$(BIN)/python bench/policies.py
	$(BIN)/python bench/expire.py
	$(BIN)/python bench/audit.py
	$(BIN)/python bench/extracts.py
	$(BIN)/python bench/publishing.py

check: .venv/installed-dev ## lint: Python, types, SQL, and dbt with deprecations as errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/sqlfluff lint models
	cd scripts && ../$(BIN)/sqlfluff lint .
	$(BIN)/dbt --warn-error-options '{"error": ["Deprecations"]}' parse --quiet --no-partial-parse

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "callmart needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (about a minute)"
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@
