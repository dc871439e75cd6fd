# `make help` lists the targets. Nothing outside the checkout is needed but make and Python >= 3.11.
export LC_ALL := C.UTF-8

VENV   := .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
RUN    := $(VENV)/bin
PYTEST := $(RUN)/python -m pytest
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install dev up check test lint types layers playbooks unit prepare fleet shapes soak bench mutants clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml .ci/environment.py
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) .ci/environment.py $(VENV)
	$(RUN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(RUN)/python -m pip install --quiet --group dev
	@touch $@

install: $(VENV)/.installed ## create .venv and install reaper_ops in it

dev: $(VENV)/.dev ## the same with the tools for development

up: install ## the main job, on the embedded lab fleet (simulated Ollama; needs no root, Docker, GPU or network)
	$(RUN)/reaper-ops lab up $(ARGS)

check: lint types layers ## in about a minute: lint, types, layers, and the unit tests of what changed since main
	$(PYTEST) -q -x --numprocesses=auto --maxprocesses=4 --dist=worksteal -m "not fleet and not vm" \
		$$($(RUN)/python .ci/changed.py) $(ARGS)

test: lint types playbooks prepare ## everything; as root on Debian the real-host tests too
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory fleet

lint: dev ## ruff and yamllint
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/yamllint --strict .

types: dev ## mypy, strict, on the package
	$(RUN)/mypy

layers: dev ## import contracts
	$(RUN)/lint-imports

playbooks: dev ## ansible-lint, production profile
	PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/ansible-lint --offline --profile production

unit: dev ## tests that need neither root nor Docker, on all cores
	$(PYTEST) --numprocesses=auto --maxprocesses=4 --dist=loadfile -m "not fleet and not vm" $(ARGS)

prepare: dev ## as root on Debian: install what the real-host tests need
	$(RUN)/python tests/fleet/prepare.py

fleet: prepare ## only the tests on real systemd hosts
	$(PYTEST) --fleet -m "fleet or vm" $(ARGS)

shapes: prepare ## hosts as people have them, every shape of tests/fleet/shapes; make shapes ARGS="--shape NAME" for one
	$(PYTEST) --shapes tests/fleet/test_shapes.py tests/test_shape_folders.py $(ARGS)

soak: dev ## the tests that kill things, with many more seeds than `make test` draws
	REAPER_OPS_KILL_ROUNDS=20 REAPER_OPS_KILLS=40 $(PYTEST) tests/mirror/test_kills.py \
		tests/playbooks/test_pull_kills.py $(ARGS)

bench: dev ## measure speed against the yardsticks
	$(RUN)/python -m bench $(ARGS)

mutants: dev ## how many small faults in core/ the tests notice; ARGS="--count 60 --seed 2 --under reaper_ops/core/facts"
	$(RUN)/python -m bench.mutants $(ARGS)

clean: ## remove .venv, caches and build output
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
