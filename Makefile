# Countersign. `make demo` and `make test` set everything up by themselves; only Python 3.11+ is needed.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: help setup demo test lint types bench chaos start index-contract clean
.DEFAULT_GOAL := help

help:
	@echo "make demo            the main job with a real PDF, start to finish; PROVIDER=dokobit, connective, signicat or"
	@echo "                     all for others than PKIsigning, OPEN=1 leaves everything running"
	@echo "make test            all tests"
	@echo "make lint            formatting, lint, types, import rules"
	@echo "make chaos SEEDS=20  kill, break and reorder at random; afterwards every signing is where it belongs; SEED=7 for"
	@echo "                     the first seed"
	@echo "make bench           measurements, as ratios against a floor taken in the same run; ONLY=backlog for one group"
	@echo "make start           the local stack in the foreground: app on 7071, provider simulator on 7080; INSTANCES=3 runs"
	@echo "                     the app in three processes behind that one address"
	@echo "make index-contract  load function_app.py with Microsoft's own worker runtime (needs Python 3.13)"
	@echo "PYTHON=python3.13 VENV=.venv-3.13 make test    the same on another Python"

setup: $(VENV)/.ready .azurite/.ready

$(VENV)/.ready: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@echo "[set-up] Python packages into $(VENV) (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.azurite/.ready: $(VENV)/.ready local/azurite.py
	@echo "[set-up] Azurite, the storage emulator (half a minute, once)"
	@$(RUN) -m local.azurite install
	@touch $@

demo: setup
	@$(RUN) -m local.demo $(if $(PROVIDER),--provider $(PROVIDER)) $(if $(OPEN),--open) $(if $(INSTANCES),--instances $(INSTANCES))

test: setup
	@$(RUN) -m pytest

lint: setup
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: setup
	@$(RUN) -m tests.bench $(if $(ONLY),--only $(ONLY))

chaos: setup
	@$(RUN) -m tests.chaos --seeds $(or $(SEEDS),1) $(if $(SEED),--seed $(SEED))

start: setup
	@$(RUN) -m local.start $(if $(INSTANCES),--instances $(INSTANCES))

index-contract: requirements.txt
	@bash .ci/index-contract

clean:
	rm -rf $(VENV) .venv-index .azurite .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
