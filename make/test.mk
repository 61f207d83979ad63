# The tests, from the cheapest to the dearest. `make test` is all of them but the long ones.

PYTEST := $(RUN) -m pytest
# What mypy knows of files, by their content: a fresh clone finds it warm.
export MYPY_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelpress/mypy

# Tests with clocks, sockets and pods in them: what fails is named, and has one more try by itself on a quieter machine.
# $(1): which; $(2): how many files side by side.
WITH_RETRY = $(PYTEST) -n $(2) --dist loadfile $(1) || { echo "once more, what failed alone:"; \
	$(PYTEST) $(1) --last-failed --last-failed-no-failures=none; }

.PHONY: test test-static test-unit test-integration test-cluster test-addons test-nodes test-long test-rollout

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

test-nodes: set-up ## with a second node, which is drained while versions change under load
	@$(MAKE) cluster NODES=2
	$(PYTEST) -n 0 -s -m nodes tests/nodes

test-long: $(VENV) ## what takes minutes or shuts the cluster down
	$(PYTEST) -m long tests

# Cases wait most of the time, so four are tried at a time; seconds, an operator that is killed, and the load want it alone.
test-rollout: set-up ## every strategy in every hard case, and 100,000 requests without a loss; 70 minutes
	@rm -f .cluster/rollout-rows.jsonl; code=0; \
	$(PYTEST) -v -n 4 --dist load --maxschedchunk 1 tests/rollout/test_matrix.py || code=$$?; \
	$(PYTEST) -v -n 0 $(addprefix tests/rollout/test_,soon_back.py operator_killed.py hundred_connections.py) || code=$$?; \
	$(RUN) -m tests.rollout.table | tee .cluster/rollouts-measured.md; exit $$code
