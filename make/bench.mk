# The benchmarks; see bench/compress/README.md.

BENCH_VENV := .bench
ROW ?=

.PHONY: bench-compress bench-compress-smoke

bench-compress: $(VENV) $(BENCH_VENV) ## what compression reaches, side by side with others; ROW=simplenet runs one row
	OMP_NUM_THREADS=1 $(RUN) -m bench.compress --competitors $(BENCH_VENV)/bin/python $(ROW)

bench-compress-smoke: $(VENV) # each row in its smallest size: does the harness work?
	OMP_NUM_THREADS=1 $(RUN) -m bench.compress --smoke --work build/bench-smoke $(ROW)

$(BENCH_VENV): requirements/bench.txt
	@$(VENV)/bin/uv venv --quiet --clear --python $(RUN) $(BENCH_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(BENCH_VENV)/bin/python --require-hashes --requirements requirements/bench.txt
	@touch $(BENCH_VENV)
