# One command per chore. Each makes the environment it needs: Python 3.11 or later, make and a package index suffice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OTHERS := .services
BELOW  := (4,)
LOCKED := --generate-hashes --no-emit-index-url --no-header --quiet --upgrade

.PHONY: demo superset pictures test test-services soak lint types contracts bench bench-matrix lock clean

demo: $(VENV)/installed
	$(BIN)/python -m tallyfy_frames demo demo

superset: $(VENV)/installed $(OTHERS)/superset/installed  ## the dashboards in a real Superset on loopback, over the sandbox
	@$(BIN)/python services/superset.py

pictures: $(VENV)/installed $(addprefix $(OTHERS)/,browser/installed superset/installed debian)  ## of the dashboards, for docs/
	$(BIN)/python services/superset.py docs

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal tests --ignore tests/services

test-services: $(VENV)/installed $(addprefix $(OTHERS)/,airflow/installed browser/installed lint/installed moto/installed superset/installed debian prometheus)
	REQUIRE_ALL=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/services
	REQUIRE_ALL=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/lake/test_kill.py tests/lake/test_full_disk.py

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
	  $(LOCKED) -o requirements.lock
	echo hatchling | uv pip compile pyproject.toml - --extra buckets --extra metrics --universal --python-version 3.11 \
	  --constraint requirements.lock $(LOCKED) -o deploy/requirements.lock
	for name in airflow browser lint moto superset; do \
	  uv pip compile services/$$name.in --universal --python-version 3.11 $(LOCKED) -o services/$$name.lock || exit; done

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=…")'
	@echo "Making the environment in $(VENV): a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What tests/services runs beside us: each in an environment of its own, made once.
$(OTHERS)/%/installed: services/%.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= $(BELOW) and "Python 3.11 or 3.12 is needed for this: make PYTHON=python3.12 …")'
	@echo "Making the environment in $(@D): a minute or two, once."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Superset pins releases that are older than Python 3.13, and have no wheels for it.
$(OTHERS)/superset/installed: BELOW := (3, 13)

# Installed only where we may; what is not there then, its test names.
$(OTHERS)/debian: services/debian.txt
	@mkdir -p $(@D)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-upgrade --no-install-recommends $$(cat $<) >/dev/null; fi
	@touch $@

# Its promtool alone, unpacked: installed, the package would start a server.
$(OTHERS)/prometheus:
	@mkdir -p $@.part
	@if command -v apt-get >/dev/null; then cd $@.part && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && \
	  rm prometheus_*.deb usr/bin/prometheus; fi
	@mv $@.part $@

clean:
	rm -rf $(VENV) $(OTHERS) benchmarks/.envs benchmarks/.work demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
