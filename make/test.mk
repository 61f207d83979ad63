# The tests, from the cheapest to the dearest. `make test` is all of them but the long ones.

PYTEST := $(RUN) -m pytest

.PHONY: test test-static test-unit test-integration test-cluster test-long

test: ## everything: static, unit, then on a real cluster
	@$(MAKE) test-static test-unit
	@$(MAKE) set-up
	@$(MAKE) test-integration test-cluster

test-static: $(VENV) ## style, types, layers, generated files
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	MYPYPATH=operator:tests/cluster $(RUN) -m mypy tests/cluster/cluster.py tests/cluster/store_secret.py
	$(VENV)/bin/lint-imports
	@$(MAKE) verify

test-unit: $(VENV) ## what needs nothing but Python
	$(PYTEST) -n 2 tests/unit tests/golden

test-integration: $(VENV) ## against a real API server, Triton, Envoy, rclone; without a cluster
	$(PYTEST) -m "not long" tests/integration tests/faults

test-cluster: $(VENV) ## in the local cluster
	$(PYTEST) -m "not long" tests/cluster tests/e2e

test-long: $(VENV) ## what takes minutes or shuts the cluster down
	$(PYTEST) -m long tests
