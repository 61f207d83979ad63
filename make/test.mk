# The tests, from the cheapest to the dearest. `make test` is all of them but the long ones.

PYTEST := $(RUN) -m pytest
# What mypy knows of files, by their content: a fresh clone finds it warm.
export MYPY_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelpress/mypy

# Tests with clocks, sockets and pods in them: what fails is named, and has one more try by itself on a quieter machine.
# $(1): which; $(2): how many files side by side.
WITH_RETRY = $(PYTEST) -n $(2) --dist loadfile $(1) || { echo "once more, what failed alone:"; \
	$(PYTEST) $(1) --last-failed --last-failed-no-failures=none; }

.PHONY: test test-static test-unit test-integration test-cluster test-addons test-long test-rollout

test: $(VENV) ## everything: static, unit, then on a real cluster
	@$(MAKE) --jobs=3 --output-sync=line test-static test-unit set-up
	@$(GROUND) browser
	@$(MAKE) test-integration test-cluster

test-static: $(VENV) ## style, types, layers, generated files
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	MYPYPATH=operator $(RUN) -m mypy -p bench
	MYPYPATH=operator:tests/cluster $(RUN) -m mypy tests/cluster/cluster.py tests/cluster/store_secret.py
	$(VENV)/bin/lint-imports
	@$(MAKE) verify

test-unit: $(VENV) ## what needs nothing but Python
	$(PYTEST) -n 2 -m "not long" tests/unit tests/golden

test-integration: $(VENV) ## against a real API server, Triton, Envoy, rclone; without a cluster
	$(call WITH_RETRY,-m "not long" tests/integration tests/faults,3)

test-cluster: $(VENV) ## in the local cluster; each file has a namespace of its own
	$(call WITH_RETRY,-m "not long" tests/cluster,0)
	$(call WITH_RETRY,-m "not long" tests/e2e,4)

test-addons: $(VENV) ## with a real KEDA, Prometheus and Gateway, built first; on the cluster of `make set-up`
	@$(MAKE) cluster ADDONS=keda,prometheus,gateway
	$(PYTEST) -n 0 -s -m addons tests/addons

test-long: $(VENV) ## what takes minutes or shuts the cluster down
	$(PYTEST) -m long tests

test-rollout: set-up ## every strategy in every hard case, and 100,000 requests without a loss; 90 minutes
	@code=0; $(PYTEST) -n 0 -s tests/rollout/test_matrix.py tests/rollout/test_hundred_connections.py || code=$$?; \
	cat .cluster/rollout-matrix.md; exit $$code
