# modelpress. `make help` lists what there is; how each part works is in make/*.mk.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The Python that everything is set up with; 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
GROUND := $(PYTHON) tests/cluster/cluster.py

include make/cluster.mk
include make/test.mk
include make/develop.mk
include make/bench.mk

.PHONY: help
help: ## list the targets
	@echo "The two that matter: make demo, make test"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 20

.PHONY: demo
ifdef KUBECONFIG_IN
demo: $(VENV) ## from nothing to a compressed model that answers; KUBECONFIG_IN=… uses a cluster of yours
	$(RUN) examples/demo/run.py --kubeconfig "$(KUBECONFIG_IN)"
else
demo: set-up
	$(RUN) examples/demo/run.py --kubeconfig .cluster/kubeconfig
endif
