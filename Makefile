# Every target does its own set-up: Python 3.11 or newer, make and a network are enough.
#     make test PYTHON=python3.13        another Python
#     make demo ARGS=~/src               arguments for the command behind a target

PYTHON ?= python3
ARGS ?=

VENV := .venv
# A stamp for each thing that is installed, so that a second `make` starts at once.
# The Python's version is part of its name: with another PYTHON the environment is made anew.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || echo missing)
PYTHON_STAMP := $(VENV)/.python-$(VERSION)
DEMO_STAMP := $(VENV)/.demo
DOCS_STAMP := $(VENV)/.docs
DEV_STAMP := $(VENV)/.dev
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check --editable

.DEFAULT_GOAL := help
.PHONY: help check test test-fast demo docs bench bench-peers peers chaos mutants format clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | while IFS=@ read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

check: $(DEV_STAMP) ## formatting, lint, types, and which layer may import which
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy steve
	$(RUN) pytest --quiet tests/test_architecture.py

test: $(DEV_STAMP) ## the whole suite on a real PostgreSQL, with coverage (STEVE_TEST_DATABASE_URL: on yours)
	$(RUN) pytest --cov --cov-report=term $(if $(ARGS),--cov-fail-under=0) $(ARGS)

test-fast: $(DEV_STAMP) ## the tests of the pure values only: seconds, no database
	$(RUN) pytest tests/model $(ARGS)

demo: $(DEMO_STAMP) ## one job for every text file of Python's standard library, on an embedded PostgreSQL
	$(RUN) steve demo $(ARGS)

docs: $(DOCS_STAMP) ## build the documentation into docs/_build, with warnings as errors
	$(RUN) sphinx --builder html --fail-on-warning --nitpicky --keep-going --quiet docs docs/_build $(ARGS)
	@echo "open docs/_build/index.html"

bench: $(DEV_STAMP) ## how fast it is, next to pgbench on the same PostgreSQL
	$(RUN) tests.benchmarks $(ARGS)

bench-peers: peers ## the same for draining, in one run with other PostgreSQL job queues
	$(RUN) tests.benchmarks --peers $(ARGS)

peers: $(DEV_STAMP) ## install these queues into .peers/, as far as this machine has what they need
	$(RUN) tests.benchmarks.peers.install

chaos: $(DEV_STAMP) ## break everything on purpose, minutes (MINUTES=60: longer; SEED=...: as that time)
	$(RUN) tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: $(DEV_STAMP) ## break steve in small ways on purpose, minutes: a test must fail for each (ARGS="--only M1,M4")
	$(RUN) tests.mutants $(ARGS)

format: $(DEV_STAMP) ## format the code and mend what lint can mend
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## remove everything that make made
	rm -rf $(VENV) .peers docs/_build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
	find steve tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "steve needs Python 3.11 or newer, but $(PYTHON) is $(VERSION)."; \
	  echo "Name another one, for example: make $(or $(MAKECMDGOALS),test) PYTHON=python3.13"; \
	  exit 1; } >&2
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# pip takes the newest of everything, so the sets of extras agree and may share the environment.
$(DEMO_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[demo]'
	@touch $@

$(DOCS_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[docs]'
	@touch $@

$(DEV_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[dev]'
	@touch $@
