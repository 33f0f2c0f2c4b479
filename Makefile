# Everything a developer types. Nothing is needed beforehand but make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := schemas hospital_node aggregator deployment tests
PINNED := torch==2.13.0 flwr==1.41.0
PYTEST_JOBS ?= 2
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: bench check clean demo help install lock soak test unit

# Run a command when no other make is installing here; the lock ends with the command.
LOCKED := $(PYTHON) -c 'import fcntl, os, sys; \
    lock = os.open("Makefile", os.O_RDONLY); fcntl.flock(lock, fcntl.LOCK_EX); \
    os.set_inheritable(lock, True); os.execvp(sys.argv[1], sys.argv[1:])'

# The stamp carries the time of the start, so that a file changed meanwhile is installed next time.
define INSTALL
set -e
[ $(STAMP) -nt pyproject.toml ] && [ $(STAMP) -nt constraints.txt ] && exit 0
echo "Installing into $(VENV); the first time this takes a minute or two."
$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
touch $(VENV)/.installing
$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
    --constraint constraints.txt --editable '.[node,dev]'
mv $(VENV)/.installing $(STAMP)
echo "Installed."
endef
export INSTALL

define LOCK
set -e
rm -rf build/lock
$(PYTHON) -m venv build/lock
build/lock/bin/python -m pip install -qq --disable-pip-version-check --no-compile \
    $(PINNED) --editable '.[node,dev]'
{
    echo "# Every version that is installed and tested; made by 'make lock'."
    build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+.*//' | LC_ALL=C sort -f
} > constraints.txt.new
! grep ' @ ' constraints.txt.new
mv constraints.txt.new constraints.txt
rm -rf build/lock
endef
export LOCK

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

install: $(STAMP)  ## Install everything for development into .venv
	@:

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make install PYTHON=python3.11"; exit 1; }
	@$(LOCKED) sh -c "$$INSTALL"

demo: $(STAMP)  ## Train one model over four synthetic hospitals (ARGS="--json" and the like)
	@$(BIN)/consilium demo $(ARGS)

check: $(STAMP)  ## Lint, formatting, types and import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports --no-logo

test: check  ## What CI runs: check, then every test but the soak tests
	@$(BIN)/pytest --quiet -n $(PYTEST_JOBS) $(ARGS)

unit: $(STAMP)  ## The quick tests: schemas and both sides, without whole studies
	@$(BIN)/pytest --quiet -n $(PYTEST_JOBS) tests/schemas tests/hospital_node tests/aggregator $(ARGS)

bench: $(STAMP)  ## Run every benchmark, one after another, each with --json
	@set -e; for file in tests/benchmarks/[a-z]*.py; do \
	    [ -e "$$file" ] || continue; \
	    name=$$(basename "$$file" .py); \
	    echo "$$name"; $(BIN)/python -m "tests.benchmarks.$$name" --json; \
	done

soak: $(STAMP)  ## Run the soak tests, which take many minutes
	@$(BIN)/pytest --quiet -m soak $(ARGS) || test $$? -eq 5

lock:  ## Resolve pyproject.toml anew and rewrite constraints.txt
	@$(LOCKED) sh -c "$$LOCK"

clean:  ## Remove .venv, builds and caches
	@rm -rf $(VENV) build dist *.egg-info htmlcov .coverage .coverage.* .hypothesis \
	    .import_linter_cache .mypy_cache .pytest_cache .ruff_cache constraints.txt.new
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
