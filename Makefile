# Every target does its own set-up: Python 3.11 or newer, make and a network are enough.
#     make test PYTHON=python3.13        another Python
#     make demo ARGS=~/src               arguments for the command behind a target

PYTHON ?= python3
ARGS ?=

VENV := .venv
# Each installation leaves a stamp file behind, so that a second `make` starts at once.
# The first stamp has Python's version in its name, so that another PYTHON makes a new environment.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || echo missing)
PYTHON_STAMP := $(VENV)/.python-$(VERSION)
DEMO_STAMP := $(VENV)/.demo
DOCS_STAMP := $(VENV)/.docs
DEV_STAMP := $(VENV)/.dev
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check --editable
# One process more than processors, because tests wait for half of their time. Each starts a PostgreSQL, which is not worth it
# for the few tests that ARGS names. They cannot share one, because many tests look at all that the server does.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
PARALLEL = $(if $(STEVE_TEST_DATABASE_URL),,--numprocesses=$(PROCESSES) --dist=worksteal)

.DEFAULT_GOAL := help
.PHONY: help check test test-fast demo docs bench bench-peers peers chaos hammer mutants format clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | while IFS=@ read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

check: $(DEV_STAMP) ## check formatting, lint, types, and which layer imports which
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy steve
	$(RUN) pytest --quiet tests/test_architecture.py

test: $(DEV_STAMP) ## the whole suite on a real PostgreSQL, with coverage (STEVE_TEST_DATABASE_URL: on yours)
	$(RUN) pytest --cov --cov-report=term $(if $(RERUNS),--reruns=$(RERUNS) --rerun-show-tracebacks) $(if $(ARGS),--cov-fail-under=0,$(PARALLEL)) $(ARGS)

test-fast: $(DEV_STAMP) ## the tests of the pure values only: seconds, no database
	$(RUN) pytest tests/model $(ARGS)

demo: $(DEMO_STAMP) ## one job for every text file of Python's standard library, on an embedded PostgreSQL
	$(RUN) steve demo $(ARGS)

docs: $(DOCS_STAMP) ## build the documentation into docs/_build, with warnings as errors
	$(RUN) sphinx --builder html --fail-on-warning --nitpicky --keep-going --quiet docs docs/_build $(ARGS)
	@echo "open docs/_build/index.html"

bench: $(DEV_STAMP) ## how fast it is, next to pgbench on the same PostgreSQL
	$(RUN) tests.benchmarks $(ARGS)

bench-peers: peers ## steve's drains, and other PostgreSQL job queues in the same run: drain, pick-up and create
	$(RUN) tests.benchmarks --peers $(ARGS)

peers: $(DEV_STAMP) ## install into .peers/ those of these queues that can run on this machine
	$(RUN) tests.benchmarks.peers.install

chaos: $(DEV_STAMP) ## break everything around steve, for some minutes (MINUTES=60: for an hour; SEED=...: repeat a run)
	$(RUN) tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

hammer: $(DEV_STAMP) ## interrupt 10,000 jobs at the moment when they return: nothing may be raised elsewhere
	$(RUN) tests.hammer $(ARGS)

mutants: $(DEV_STAMP) ## break steve in small ways: a test must fail for each; takes minutes (ARGS="--only M1,M4")
	$(RUN) tests.mutants $(ARGS)

format: $(DEV_STAMP) ## format the code and fix what the linter can fix
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

# pip installs the newest version of each package, so the extras agree and can share one environment.
$(DEMO_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[demo]'
	@touch $@

$(DOCS_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[docs]'
	@touch $@

$(DEV_STAMP): pyproject.toml $(PYTHON_STAMP)
	$(INSTALL) '.[dev]'
	@touch $@
