# qpuflow: few verbs. On a machine with Python 3.11 or 3.12, git and make: `make run`, `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints requirements.lock
export QPUFLOW_HOME ?= $(CURDIR)/.qpuflow
# As a container may set it: each of a stack's processes would compile every package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run up down test chaos lint types bench lock

help:  ## the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

setup: $(STAMPS)/dev  ## everything for working on qpuflow

run: $(STAMPS)/run  ## every program in examples/ through Prefect to its counts
	@$(BIN)/qpuflow demo examples $(ARGS)

up: $(STAMPS)/run  ## the stack, with the Prefect UI, until Ctrl-C
	@$(BIN)/qpuflow up $(ARGS)

down: $(STAMPS)/run  ## stop it
	@$(BIN)/qpuflow down

test: $(STAMPS)/dev  ## all tests
	$(BIN)/python -m pytest $(ARGS)

chaos: $(STAMPS)/dev  ## hostile weather and kill -9 over the fake clouds; RUNS=500 SEED=n SHARDS=2
	@seed=$${SEED:-$$RANDOM}; shards=$${SHARDS:-2}; each=$$(( ($${RUNS:-500} + shards - 1) / shards )); \
	echo "seed $$seed: $$((shards * each)) runs, $$shards side by side"; set -o pipefail; \
	for shard in $$(seq 0 $$((shards - 1))); do \
		QPUFLOW_CHAOS_SEED=$$((seed + shard * each)) QPUFLOW_CHAOS_RUNS=$$each $(BIN)/python -m pytest \
			-p no:cacheprovider tests/tasks/test_chaos.py $(ARGS) 2>&1 | sed -u "s/^/$$shard: /" & \
		all="$$all $$!"; \
	done; \
	for one in $$all; do wait $$one || bad=1; done; exit $${bad:-0}

lint: $(STAMPS)/dev  ## style, format, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(STAMPS)/dev  ## pyright, strict
	$(BIN)/pyright

bench: $(STAMPS)/dev  ## benchmarks; SUITE=name for one of them, ONLY="name ..." for some of its figures
	$(BIN)/python -m bench $(SUITE) $(if $(ONLY),--only $(ONLY))

lock: $(BIN)/uv  ## requirements.lock: the newest set that the bounds allow
	$(BIN)/uv pip compile --quiet --upgrade --extra all --extra dev --python-version 3.11 \
		--no-header --no-annotate --no-emit-package qpuflow pyproject.toml \
		| grep -E '^[A-Za-z0-9_.-]+==[^ ]+$$' > requirements.lock

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "qpuflow needs Python 3.11 or 3.12 on the PATH"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMPS)/run: pyproject.toml requirements.lock packaging/linked_backend.py | $(BIN)/uv
	$(INSTALL) --editable '.[aer,qblox]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml requirements.lock packaging/linked_backend.py | $(BIN)/uv
	$(INSTALL) --editable '.[all,dev]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run
