# Every target sets up what it needs. Python 3.11 or newer is the only thing that must be there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export KALSHI_ASSETS_HOME ?= $(CURDIR)/data

.DEFAULT_GOAL := help
.PHONY: help install demo test soak conformance ui lint format bench clean

help: ## show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11."; exit 2; }
	@echo "Installing into $(VENV) (a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed ## create .venv from the lock

demo: install ## run the whole graph on simulated prices and print a verdict
	@$(BIN)/kalshi-assets run --source demo

test: install ## run the tests
	@$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadscope

soak: install ## run the long tests
	@$(BIN)/python -m pytest -m soak

conformance: install ## compare our client with the exchange's official SDK (in .venv-sdk)
	@$(BIN)/python -m kalshi_assets_tests.conformance

ui: install ## open the Dagster UI on the same home
	@$(BIN)/python -m kalshi_assets.defs.dead_runs
	@DAGSTER_HOME=$(CURDIR) DAGSTER_EVENT_BATCH_SIZE=500 $(BIN)/dagster dev -w workspace.yaml --host 127.0.0.1

lint: install ## formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: install ## rewrite the formatting
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## print speeds as ratios measured side by side
	@$(BIN)/python -m bench

clean: ## remove the environment and all local state but the public facts
	@rm -rf $(VENV) .venv-sdk .mypy_cache .ruff_cache .hypothesis
	@find $(CURDIR)/data -mindepth 1 -maxdepth 1 ! -name facts -exec rm -rf {} +
