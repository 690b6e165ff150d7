# Everything runs in .venv inside the checkout; nothing else is written but pip's own download cache.
PYTHON ?= python3
LAB_ARGS ?=
HUB_ARGS ?=
BENCH_ARGS ?=
TEST_ARGS ?=
TEST_PROCESSES ?= 2
SECONDS ?= 60

# Paths are relative wherever make or the shell reads them: the checkout's own may hold spaces, quotes, anything.
BIN := .venv/bin
HUB_PROXY := configurable-http-proxy@5.3.0
HUB_PROXY_READY := .hub/.$(HUB_PROXY)
# A Python that is asked for by name is the one that .venv gets; without, whichever it has stays.
WANTED := $(if $(filter command environment,$(firstword $(origin PYTHON))),--wanted "$(PYTHON)")
APT_GET = DEBIAN_FRONTEND=noninteractive $(if $(filter 0,$(shell id -u)),,sudo -n) apt-get

export UV_CACHE_DIR := $(CURDIR)/.venv/.cache/uv
export UV_NO_CONFIG := 1
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(CURDIR)/.venv
export MYPY_CACHE_DIR := $(CURDIR)/.mypy_cache
export RUFF_CACHE_DIR := $(CURDIR)/.ruff_cache
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1

.DEFAULT_GOAL := help
.PHONY: help setup lab hub test html bench bench-ui bench-html stress lint format lock clean images chromium bubblewrap

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup:  ## build .venv with everything locked in requirements.lock
	$(MAKE_VENV)

# What is there is asked first, with its own Python; then that which is to be used.
define MAKE_VENV
	@$(BIN)/python -I tools/make_venv.py --check $(WANTED) $(VENV_ARGS) 2>/dev/null || { \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vswaplab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	  "$(PYTHON)" tools/make_venv.py $(VENV_ARGS); }
endef

lab: setup  ## open JupyterLab on the first notebook (LAB_ARGS="--no-browser --port 9000")
	@exec $(BIN)/python tools/open_lab.py $(LAB_ARGS)

hub: VENV_ARGS := --hub
hub: $(HUB_PROXY_READY)  ## try the lab for many users on this machine: http://127.0.0.1:8000
	$(MAKE_VENV)
	@exec $(BIN)/python -m jupyterhub --config deploy/jupyterhub/jupyterhub_config.py $(HUB_ARGS)

$(HUB_PROXY_READY):
	@command -v npm >/dev/null || { echo "The hub's proxy needs node and npm; install them with: apt-get install npm" >&2; exit 1; }
	@rm -rf .hub/node_modules && npm install --loglevel=error --no-audit --no-fund --no-save \
	  --cache .hub/.npm --prefix .hub $(HUB_PROXY)
	@touch $@

test: lint chromium bubblewrap  ## lint, then all tests: library, notebooks, browser (TEST_ARGS="-k swapoff")
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) $(TEST_ARGS)

html: setup  ## build the site in build/html: every notebook run, pages that need no kernel and no network
	@$(BIN)/python -m vswaplab html --out build/html && echo "Open build/html/index.html in a browser."

bench: setup  ## measure ratios, each against what it names; also writes build/bench.json
	@$(BIN)/python -m vswaplab bench --out build/bench.json $(BENCH_ARGS)

bench-ui: setup chromium  ## measure the views in headless Chromium, beside plotly
	@$(BIN)/python tools/bench_ui.py $(BENCH_ARGS)

bench-html: html chromium  ## measure what each page of the site weighs, and when it can be used
	@$(BIN)/python tools/bench_html.py $(BENCH_ARGS)

stress: setup  ## run random machines with failing devices for a while (SECONDS=120)
	@$(BIN)/python -m vswaplab stress --seconds $(SECONDS)

lint: setup  ## ruff (lint, format) and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy

format: setup  ## format code and notebooks, mend what ruff can, strip notebook outputs
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/python -m nbstripout --keep-id notebooks/*.ipynb

images: setup chromium  ## draw the pictures of the documentation anew
	@$(BIN)/python tools/make_images.py

chromium:
	@command -v chromium >/dev/null || { $(APT_GET) update -q && $(APT_GET) install -qy --no-install-recommends chromium; } || \
	  { echo "The browser tests need Chromium; install it with: apt-get install chromium" >&2; exit 1; }

bubblewrap:
	@command -v bwrap >/dev/null || { $(APT_GET) update -q && $(APT_GET) install -qy --no-install-recommends bubblewrap; } || \
	  echo "Without bubblewrap the tests of the grading sandbox are skipped; install it with: apt-get install bubblewrap" >&2

lock:  ## renew requirements.lock from pyproject.toml
	@$(BIN)/uv --version >/dev/null 2>&1 || "$(PYTHON)" tools/make_venv.py --only-uv
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --extra fast --extra site --group dev \
	  --generate-hashes --no-header --no-emit-index-url --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --extra fast --extra hub --constraint requirements.lock \
	  --generate-hashes --no-header --no-emit-index-url --output-file deploy/jupyterhub/hub.lock pyproject.toml

clean:  ## remove .venv, build/ and all caches; learners' folders in .hub/ stay
	rm -rf .venv .hub/node_modules .hub/.npm .hub/.configurable-http-proxy@* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .vswaplab
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
