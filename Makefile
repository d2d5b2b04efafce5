# One command per chore. Each makes the environment it needs: Python 3.11 or later, make and a package index suffice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test soak lint types contracts bench bench-matrix lock clean

demo: $(VENV)/installed
	$(BIN)/python -m tallyfy_frames demo demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

soak: $(VENV)/installed  ## a hundred thousand lists that move while they are read
	$(BIN)/python tests/api/soak.py 100000

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed
	$(BIN)/mypy

contracts: $(VENV)/installed  ## schemas/ and docs/data-dictionary.md, from the tables
	$(BIN)/python -m tallyfy_frames.contracts schemas docs/data-dictionary.md

bench:  ## half an hour or more, on an otherwise idle machine; writes benchmarks/RESULTS.md
	$(PYTHON) benchmarks/run.py

bench-matrix:  ## every tool against every fault; writes benchmarks/MATRIX.md
	$(PYTHON) benchmarks/run.py matrix

lock: $(VENV)/installed  ## the newest releases that fit; needs uv on the PATH
	uv pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=…")'
	@echo "Making the environment in $(VENV): a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) benchmarks/.envs benchmarks/.work demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
