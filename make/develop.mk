# The developer's environment, generated files, locked dependencies.

.PHONY: generate verify lock format venv

venv: $(VENV) ## the Python environment in .venv

$(VENV): requirements/dev.txt tests/cluster/localcluster/environment.py
	@$(PYTHON) tests/cluster/cluster.py env
	@touch $(VENV)

generate: $(VENV) ## write everything that is generated from the types
	$(RUN) -m modelpress.api.crd --write
	$(RUN) charts/generate_crds.py

verify: $(VENV) ## fail if a generated file differs from what the types say
	$(RUN) -m modelpress.api.crd --check
	$(RUN) charts/generate_crds.py --check

format: $(VENV) ## format the code
	$(RUN) -m ruff check --fix --exit-zero .
	$(RUN) -m ruff format .

LOCK := $(VENV)/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-emit-index-url --no-annotate

lock: $(VENV) ## resolve the dependencies anew and write requirements/*.txt
	$(LOCK) pyproject.toml --group proxy -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra compress -o requirements/compressor.txt
	$(LOCK) --group triton -o requirements/triton.txt
	$(LOCK) pyproject.toml --extra compress --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra compress --group bench --constraint requirements/dev.txt -o requirements/bench.txt
