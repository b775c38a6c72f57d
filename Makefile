# `make help` lists the targets; CONTRIBUTING.md explains them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More arguments for pytest: make test ARGS="tests/rules -k expired".
ARGS ?=
PYTEST := $(BIN)/python -m pytest -n auto
# Without -B, root would leave files behind that `make clean` cannot remove.
PROGRAMS := $(PYTHON) -B -m tests.harness.programs
MINUTES ?= 2
CLIENTS ?= 200
ROUNDS ?= 1
PATRONI ?= /opt/patroni
# With hashes, pip rejects any file that differs from the one that was locked.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
UV := uv==0.13.8
# Otherwise each worker of the tests, and each process that they start, compiles the modules again.
unexport PYTHONDONTWRITEBYTECODE
PAGES := *.md docs client/README.md bench/results.md soak/results.md deploy/example/README.md deploy/grafana-dashboard.md
SETS := requirements requirements-dev requirements-bench tests/generators/requirements deploy/cluster/requirements
OLDEST_PYTHON := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)

.PHONY: help serve example check test test-long programs lint format lock reference screenshots bench bench-full soak soak-failover clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.server ## install what is missing and serve on 127.0.0.1:8000
	@exec $(BIN)/python server.py

example: $(VENV)/.server ## run an application without user management behind nginx and userauth
	@exec $(BIN)/python deploy/example/run.py

check: $(VENV)/.server ## check the settings and stop
	@$(BIN)/python server.py --check

# A test whose program is missing is skipped, and the last lines of the output say so.
test: $(VENV)/.develop ## run the tests: make test, or make test ARGS="tests/rules -k expired"
	@$(PROGRAMS) || true
	$(PYTEST) $(ARGS)

test-long: $(VENV)/.develop ## run the tests that take minutes; as root: some boot Debian with systemd
	@$(PROGRAMS) || true
	$(PYTEST) -m long $(ARGS)

programs: ## install the Debian or Ubuntu packages of the programs that tests run
	@$(PROGRAMS)

lint: $(VENV)/.develop ## check style, types, the direction of imports, spelling and links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=client $(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/lychee --offline --no-progress --quiet --include-fragments $(PAGES)

format: $(VENV)/.develop ## fix and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## rewrite the lock files from requirements*.txt
	rm -rf $(VENV).lock
	$(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	for set in $(SETS); do \
		$(VENV).lock/bin/uv pip compile --quiet --universal --python-version $(OLDEST_PYTHON) \
			--generate-hashes --no-annotate --no-header --no-emit-index-url \
			$$set.txt --output-file $$set.lock || exit 1; \
	done
	rm -rf $(VENV).lock

reference: $(VENV)/.develop ## write docs/api-reference.md and docs/command-reference.md
	$(BIN)/python -m tests.harness.api_reference
	$(BIN)/python -m tests.harness.command_reference

screenshots: $(VENV)/.develop ## take the screenshots in docs/ again
	DOCS_PAGE_PICTURE=docs/docs-page.png $(BIN)/python -m pytest -q tests/system/test_docs_page.py -k registers
	rm -f docs/pages/*
	SCREENSHOTS=docs/pages $(BIN)/python -m pytest -q -m long tests/long/test_page_states.py -k documentation

bench: $(VENV)/.bench ## measure in a few minutes
	$(BIN)/python -m bench

bench-full: $(VENV)/.bench ## measure at length, and other servers for comparison
	$(BIN)/python -m bench --full --peers

soak: $(VENV)/.develop ## run hundreds of clients against two servers: make soak MINUTES=2 CLIENTS=200
	$(BIN)/python -m soak --minutes $(MINUTES) --clients $(CLIENTS)

# Debian's Python, since the user that runs Postgres must be able to read it.
soak-failover: $(VENV)/.develop $(PATRONI)/bin/patroni ## fail over a cluster of Patroni under load, as root: make soak-failover ROUNDS=1 CLIENTS=200
	@$(PROGRAMS) || true
	@sh deploy/cluster/install-etcd.sh
	$(BIN)/python -m soak.failover --rounds $(ROUNDS) --clients $(CLIENTS) --patroni $(PATRONI)/bin/patroni

clean: ## remove the virtual environment and caches, not the data in var/
	rm -rf $(VENV) .machines .generators .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A failed venv leaves a python without pip behind.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.server: requirements.lock | $(BIN)/python
	$(INSTALL) requirements.lock
	@touch $@

$(VENV)/.bench: requirements-bench.lock | $(BIN)/python
	$(INSTALL) requirements-bench.lock
	@touch $@

$(VENV)/.develop: requirements-dev.lock | $(BIN)/python
	$(INSTALL) requirements-dev.lock
	@touch $@ $(VENV)/.server

$(PATRONI)/bin/patroni: deploy/cluster/requirements.lock
	/usr/bin/python3 -m venv $(PATRONI)
	$(PATRONI)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement deploy/cluster/requirements.lock
	@touch $@
