# Two commands matter: `make dev` and `make test`. Both set up .venv by themselves; nothing needs root.
# `make test` runs JOBS test files at a time; each job has its own Kafka and Postgres.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
JOBS ?= 2
ARGS ?=

# Tests start roles hundreds of times, so compiled bytecode is kept whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup dev check lint unit test test-long audit bench screenshots freeze

help: ## this list
	@echo 'Targets; ARGS="…" is passed on, PYTHON=python3.12 chooses the interpreter:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

setup: $(STAMP) ## .venv with the pinned packages; all other targets do it when needed

# Only when the requirements changed: the stamp lies in .venv, so that deleting .venv is a fresh start.
$(STAMP): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %s: make PYTHON=python3.12 …" % sys.version.split()[0])'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'Python has no venv; on Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing what .ci/constraints.txt pins into $(VENV): a few minutes, once"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar on -c .ci/constraints.txt -e '.[dev,test]'
	@touch $@

dev: $(STAMP) ## everything on this machine, with a demo; Ctrl-C stops it
	@exec $(BIN)/planner-webhooks dev $(ARGS)

lint: $(STAMP) ## ruff, mypy, layers, and a table of sizes
	$(BIN)/ruff check services tests
	$(BIN)/ruff format --check services tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(BIN)/python .ci/sizes.py
	@$(BIN)/python .ci/secrets.py

check: lint ## lint and unit tests: under a minute
	$(PYTEST) -n $(JOBS) --dist worksteal tests/unit $(ARGS)

test: lint ## everything but the long counts: under 15 minutes on 2 cores
	$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not long' -ra $(ARGS)

test-long: lint ## all tests, with their full counts, about an hour; then audit
	WEBHOOKS_TEST_LONG=1 $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -ra $(ARGS)
	@$(MAKE) --no-print-directory audit

audit: $(STAMP) ## known vulnerabilities of the pinned packages; asks the package index
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install --quiet pip-audit==2.10.1; }
	@$(BIN)/python .ci/audit.py $(VENV)/audit/bin/pip-audit .ci/constraints.txt

bench: $(STAMP) ## benchmarks of matching and delivering
	$(BIN)/planner-webhooks bench match
	$(BIN)/planner-webhooks bench filters
	$(BIN)/planner-webhooks bench deliver $(ARGS)

screenshots: $(STAMP) ## every page of the dashboard, at two widths in both themes, into screenshots/
	WEBHOOKS_TEST_SCREENSHOTS=$(CURDIR)/screenshots REQUIRE_TOOLS=1 $(PYTEST) tests/browser/test_screenshots.py $(ARGS)
	@ls screenshots | wc -l

freeze: $(STAMP) ## pin what is installed in .ci/constraints.txt
	@{ sed -n 1p .ci/constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt .ci/constraints.txt && touch $(STAMP)
