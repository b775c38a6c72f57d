# One place for every command. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
MINUTES ?= 2
CLIENTS ?= 200
BIN := $(VENV)/bin
# Each file by its hash: what a registry hands out in its place is not installed.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
UV := uv==0.13.8
SETS := requirements requirements-dev requirements-bench

.PHONY: help serve check test lint lock picture format bench bench-full soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.server ## install what is missing and serve on 127.0.0.1:8000
	@exec $(BIN)/python server.py

check: $(VENV)/.server ## check the settings and stop
	@$(BIN)/python server.py --check

test: $(VENV)/.develop ## run the tests against a real Postgres
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.develop ## style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=client $(BIN)/lint-imports --no-cache

lock: ## write the lock files anew, of what requirements*.txt pin
	rm -rf $(VENV).lock
	$(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	for set in $(SETS); do \
		$(VENV).lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-annotate --no-header --no-emit-index-url $$set.txt --output-file $$set.lock || exit 1; \
	done
	rm -rf $(VENV).lock

picture: $(VENV)/.develop ## take the picture of the page at /docs anew
	DOCS_PAGE_PICTURE=docs/docs-page.png $(BIN)/python -m pytest -q tests/system/test_docs_page.py -k registers

format: $(VENV)/.develop ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## measure, a quick pass of a few minutes
	$(BIN)/python -m bench

bench-full: $(VENV)/.bench ## measure, the long pass, with peers beside it
	$(BIN)/python -m bench --full --peers

soak: $(VENV)/.server ## let hundreds of clients use two servers: make soak MINUTES=2 CLIENTS=200
	$(BIN)/python -m soak --minutes $(MINUTES) --clients $(CLIENTS)

clean: ## remove the virtual environment and caches; data in var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: requirements.lock | $(BIN)/python
	$(INSTALL) requirements.lock
	@touch $@

$(VENV)/.bench: requirements-bench.lock | $(BIN)/python
	$(INSTALL) requirements-bench.lock
	@touch $@

$(VENV)/.develop: requirements-dev.lock | $(BIN)/python
	$(INSTALL) requirements-dev.lock
	@touch $@ $(VENV)/.server
