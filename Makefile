# Everything a person does with this project. `make help` lists it.
# PYTHON chooses the interpreter (3.11 to 3.13), VENV where its environment goes.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS  ?=

.DEFAULT_GOAL := help
.PHONY: help serve test coverage lint format bench docs interop check-deploy sbom clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.installed ## Install if needed, then start on 127.0.0.1:8080 with everything kept below ./var
	@printf '\nThe command is %s/msim-xds; try it from a second terminal. How to connect: docs/vendor-guide.md\n\n' '$(BIN)'
	@exec $(BIN)/msim-xds serve --host 127.0.0.1 --port 8080 --data ./var

test: $(VENV)/.installed-test ## All tests, on SQLite and on a PostgreSQL of their own
	$(BIN)/pytest -n 4 $(PYTEST_ARGS)

coverage: ## What a run of make test PYTEST_ARGS=--cov has missed: at least 90 % everywhere, 99 % of the rules
	$(BIN)/coverage report
	$(BIN)/coverage report --fail-under=99 --include='*/ihe/*,*/metadata/*,*/wire/*,*/findings.py'

lint: $(VENV)/.installed-test ## ruff, mypy, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test ## Let ruff put the sources in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-test ## Load, measure and print figures of docs/performance.md, which says how to choose
	$(BIN)/python -m bench.run $(BENCH_ARGS)

docs: $(VENV)/.installed ## Write the generated pages of docs/ anew
	$(BIN)/python docs/generate.py

interop: $(VENV)/.installed-test tests/interop/node_modules/.installed ## Calls by clients in other languages (needs node and npm)
	$(BIN)/pytest -m interop tests/interop $(PYTEST_ARGS)

check-deploy: $(VENV)/.installed ## nginx, systemd and compose look at deploy/ themselves
	deploy/check $(BIN)/msim-xds

sbom: build/.runtime build/.cyclonedx ## build/sbom.json: what an installation consists of (CycloneDX); fails where versions contradict each other
	build/runtime/bin/pip check
	build/cyclonedx/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom.json build/runtime/bin/python

clean: ## Remove what was built (never ./var)
	rm -rf $(VENV) build dist *.egg-info tests/interop/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment is made once, and an install repeated only when the package's own metadata change.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "msim-xds needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is not one. Choose with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "'$(PYTHON)' cannot make a virtual environment (on Debian: apt-get install python3-venv)"; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

build/.runtime: $(VENV)/.made setup.cfg pyproject.toml
	@rm -rf build/runtime && $(PYTHON) -m venv build/runtime
	@build/runtime/bin/pip install --quiet --disable-pip-version-check .
	@touch $@

build/.cyclonedx: $(VENV)/.made
	@$(PYTHON) -m venv build/cyclonedx
	@build/cyclonedx/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
	@touch $@

tests/interop/node_modules/.installed: tests/interop/package.json tests/interop/package-lock.json
	cd tests/interop && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
