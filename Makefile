# Everything runs from .venv, which is made where it is missing, of the very packages that locks/ names.

PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv)
# By uv where it is and can; pip does as well, and takes longer.
install = $(if $(UV),UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 $(UV) pip install --quiet --python $(BIN)/python $(1) ||) \
    $(BIN)/pip install --quiet $(1)

# Where Python may not keep what it compiles, each of some hundred processes compiles dbt anew.
unexport PYTHONDONTWRITEBYTECODE

CHECKS := check-style check-types check-sql check-project

.PHONY: help demo pictures test test-thorough test-quick test-days test-mutants test-cluster test-external \
    check $(CHECKS) lock bench
.DELETE_ON_ERROR:

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed ## the whole chain on example data
	$(BIN)/callmart demo

pictures: .venv/installed ## the pictures of README, from the demo's customers
	$(BIN)/python -m callmart.cli.pictures

test: .venv/installed-dev ## the suite, as CI runs it
	$(BIN)/python -m pytest

test-thorough: .venv/installed-dev ## kills at every step, long ways, the demo, another server: before a release
	$(BIN)/python -m pytest -m 'thorough and not external'

test-quick: .venv/installed-dev ## what needs no server: most mistakes show here
	$(BIN)/python -m pytest -m 'not server and not external and not thorough'

# A leap day, the nights on which the clocks change, both sides of New Year, the last day of a month.
ODD_DAYS := 2028-02-29 2027-03-28 2027-10-31 2026-12-31 2027-01-01 2027-04-30
FAKETIME_LIBRARY := $(wildcard /usr/lib/*/faketime/libfaketime.so.1)

test-days: .venv/installed-dev ## what depends on the day, on six odd days: tests and server with another clock
	@test -n '$(FAKETIME_LIBRARY)' || { echo 'install libfaketime: apt install faketime' >&2; exit 1; }
	for day in $(ODD_DAYS); do echo "on $$day" && \
	    shift=$$(($$(date -d "TZ=\"Europe/Amsterdam\" $$day 03:30" +%s) - $$(date +%s))) && \
	    LD_PRELOAD=$(FAKETIME_LIBRARY) FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=$$(printf %+d $$shift) \
	        $(BIN)/python -m pytest -m 'dated and not waits' || exit 1; done

test-mutants: .venv/installed-dev ## takes away what protects persons, piece by piece: each time a test has to fail
	$(BIN)/python tests/support/mutants.py

# On the cluster instead of the embedded server. The marts of a real bank and of real logs first.
ALSO_ON_CLUSTER := $(addprefix tests/,$(addsuffix .py, \
    models/test_bank_month models/test_recorded_marts models/test_scenarios models/test_simulated_marts \
    models/test_contact_marts models/test_odd_calls models/test_line_marts models/test_status_marts \
    land/test_land land/test_dirty_days land/test_many_files operations/test_rebuild validate/test_release \
    privacy/test_erasing privacy/test_correcting privacy/test_objecting privacy/test_closing retention/test_expire))

test-cluster: .venv/installed-dev ## what runs on the Citus cluster of CALLMART_TEST_CITUS_DSN, whose database is emptied
	@test -n '$(CALLMART_TEST_CITUS_DSN)' || { echo 'name a cluster in CALLMART_TEST_CITUS_DSN' >&2; exit 1; }
	$(BIN)/python -m pytest -n 0 tests/database/test_cluster.py tests/database/test_cluster_changes.py
	$(BIN)/python -m pytest -n 0 -m 'not external' --on-cluster $(ALSO_ON_CLUSTER)

test-external: .venv/installed-dev ## what needs Debian's PostgreSQL 17, systemd, mmdebstrap and age, or more packages
	$(BIN)/python -m pytest -m external -n 0

check: $(CHECKS) ## lint: Python, types, imports, SQL, what is declared, and dbt with deprecations as errors
$(CHECKS): .venv/installed-dev

check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

check-types:
	$(BIN)/mypy
	MYPYPATH=bench $(BIN)/mypy bench

check-sql:
	$(BIN)/sqlfluff lint models
	cd scripts && ../$(BIN)/sqlfluff lint .
	$(BIN)/python -m callmart.declarations.portable

check-project:
	$(BIN)/callmart check
	$(BIN)/dbt --warn-error-options '{"error": ["Deprecations"]}' parse --quiet --no-partial-parse

lock: .venv/installed-dev ## renew locks/: the newest packages that pyproject.toml allows, with their hashes
	$(call install,uv)
	echo 'setuptools>=77' | $(BIN)/uv pip compile $(LOCKING) --output-file locks/run.txt pyproject.toml -
	echo 'setuptools>=77' | $(BIN)/uv pip compile $(LOCKING) --output-file locks/dev.txt --extra dev \
	    --constraint locks/run.txt pyproject.toml -
LOCKING := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

bench: .venv/installed-dev ## speed and waits, each compared with something in the same run
	$(BIN)/python bench/landing.py
	$(BIN)/python bench/many_files.py
	$(BIN)/python bench/building.py
	$(BIN)/python bench/nights.py
	$(BIN)/python bench/day.py
	$(BIN)/python bench/customers.py
	$(BIN)/python bench/years.py
	$(BIN)/python bench/policies.py
	$(BIN)/python bench/expire.py
	$(BIN)/python bench/audit.py
	$(BIN)/python bench/extracts.py
	$(BIN)/python bench/publishing.py
	$(BIN)/python bench/drawing.py
	$(BIN)/python bench/privacy.py
	$(BIN)/python bench/rotating.py
	$(BIN)/python bench/night.py

.venv/installed: pyproject.toml locks/run.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "callmart needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (about a minute)"
	$(call install,--require-hashes --requirement locks/run.txt)
	$(call install,--no-deps --no-build-isolation --editable .)
	touch $@

.venv/installed-dev: .venv/installed locks/dev.txt
	$(call install,--require-hashes --requirement locks/dev.txt)
	touch $@
