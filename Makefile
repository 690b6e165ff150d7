# Everything runs in .venv inside the checkout; nothing else is written but pip's own download cache.
PYTHON ?= python3
LAB_ARGS ?=
BENCH_ARGS ?=
TEST_ARGS ?=

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION = $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock)

export UV_CACHE_DIR := $(VENV)/.cache/uv
export UV_NO_CONFIG := 1
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(VENV)
export MYPY_CACHE_DIR := $(CURDIR)/.mypy_cache
export RUFF_CACHE_DIR := $(CURDIR)/.ruff_cache
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1

.DEFAULT_GOAL := help
.PHONY: help setup lab test html bench lint format lock clean chromium

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(READY)  ## build .venv with everything locked in requirements.lock

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vswaplab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python can't make virtual environments; install them with: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/uv --version 2>/dev/null | grep -qF ' $(UV_VERSION) ' || \
	  $(BIN)/python -m pip install -q --disable-pip-version-check 'uv==$(UV_VERSION)'
	@$(BIN)/uv pip sync -q --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## renew requirements.lock from pyproject.toml
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q uv; }
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --extra fast --group dev \
	  --generate-hashes --no-header --no-emit-index-url --output-file requirements.lock pyproject.toml

clean:  ## remove .venv, build/ and all caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .vswaplab
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
