# Everything that is done to this project. Needs Python 3.11 or later, git and make; what is installed goes into .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --require-hashes --only-binary :all:
SDKS := claude copilot microsoft
COPILOT_CLI_VERSION := 1.0.102
WORKERS ?= 4
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo install test check lint soak check-slow sdks check-sdks golden bench lock clean

help:
	@echo 'make demo        install, and converge the fleet in manifests/'
	@echo 'make test        the tests'
	@echo 'make check       lint, types, import contracts, then the tests'
	@echo 'make check-slow  the long tests of the real thing'
	@echo 'make check-sdks  the agent SDKs, each in an environment of its own (make sdks installs them: 1 GB)'
	@echo 'make soak        kills at random instants, for minutes'
	@echo 'make golden      rewrite the expected outputs under tests/; review the diff as behaviour'
	@echo 'make bench       measure; PEERS=DIR beside the peers installed there, BENCH="--large" with 10,000 too'
	@echo 'make lock        renew requirements/ from pyproject.toml (UPGRADE=1: take the newest versions)'
	@echo 'make clean       remove .venv, caches and what make demo left'

demo: .venv/.runtime
	@sh tools/demo.sh

install: .venv/.runtime

.venv/.python:
	@test -n "$(PYTHON)" || { echo 'error: no Python 3.11 or later on PATH' >&2; \
		echo '  fix: install one, or name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@echo 'making .venv with $(PYTHON)' >&2
	@"$(PYTHON)" -m venv .venv || { echo 'error: $(PYTHON) cannot make a virtual environment' >&2; \
		echo '  fix: on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@touch $@

# Compiled at once, since a first `haymaker` would otherwise pay for it. A plain .pth names the checkout (tool.hatch dev-mode-dirs): nothing is hooked into imports, and an edit is in force at once.
.venv/.runtime: .venv/.python pyproject.toml requirements/runtime.txt requirements/build.txt
	@echo 'installing the locked dependencies; this may take a minute or two' >&2
	@$(INSTALL) -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q agent_haymaker reconciler workloads/goal_agent/haymaker_goal_agent
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@echo 'installing the locked tools of make check' >&2
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

test: .venv/.dev
	$(BIN)/python -m pytest -n $(WORKERS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	@$(MAKE) --no-print-directory test

soak: .venv/.dev
	$(BIN)/python -m pytest -m soak -n $(WORKERS)

check-slow: .venv/.dev
	$(BIN)/python -m pytest -m "slow and not sdk" -n $(WORKERS)

sdks: $(SDKS:%=.venv/sdk-%/.ready)

# An environment each: their dependencies need not fit together, and a missing one cannot pass for a skipped test.
.venv/sdk-%/.ready: .venv/.python pyproject.toml requirements/sdk-%.txt requirements/build.txt
	@echo 'installing the $* SDK' >&2
	@"$(PYTHON)" -m venv .venv/sdk-$*
	@$(INSTALL:.venv/%=.venv/sdk-$*/%) -r requirements/sdk-$*.txt -r requirements/build.txt
	@$(PIP:.venv/%=.venv/sdk-$*/%) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Copilot's SDK drives a program that comes from npm.
.venv/sdk-copilot/.ready: .venv/sdk-copilot/cli/.ready
.venv/sdk-copilot/cli/.ready:
	@npm install --no-audit --no-fund --silent --prefix .venv/sdk-copilot/cli "@github/copilot@$(COPILOT_CLI_VERSION)"
	@touch $@

check-sdks: sdks
	@failed=; for sdk in $(SDKS); do echo "== $$sdk"; \
		.venv/sdk-$$sdk/bin/python -m pytest -m sdk -n 2 -W ignore::ResourceWarning tests/sdk/test_$$sdk*.py || failed=1; \
		done; test -z "$$failed"  # what an SDK leaves open is its own affair

golden: .venv/.dev
	GOLDEN=1 $(BIN)/python -m pytest -n $(WORKERS)
	git status --short -- tests schemas docs

bench: .venv/.dev
	$(BIN)/python -m benchmarks $(if $(PEERS),--peers "$(PEERS)") $(if $(HARNESS),--harness "$(HARNESS)") $(BENCH)

lock: .venv/.python
	@test -x .venv/lock/bin/uv || { $(BIN)/python -m venv .venv/lock && \
		.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@sh tools/lock.sh .venv/lock/bin/uv $(if $(UPGRADE),--upgrade)

clean:
	@if [ -d .demo/home ] && [ -x $(BIN)/haymaker ]; then \
		HAYMAKER_HOME="$(CURDIR)/.demo/home" $(BIN)/haymaker delete -f manifests/ --yes; fi
	rm -rf .demo .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
