# Every habit of this project under one name. `make setup` once, `make check` before a change is proposed.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK_VENV := .venv-lock
PIP := -m pip --disable-pip-version-check
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test campaign live components lint types contracts docs check lock clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done

setup: $(READY) ## make .venv with the pinned tools and this package

$(READY): requirements/dev.txt pyproject.toml
	@python=$$(sh scripts/find_python.sh) || exit 1; \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear $(VENV)
	$(BIN)/python $(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## see a whole run with scripted agents, no account needed
	@$(BIN)/muster demo

# Three workers for two cores: a fifth of the time tests wait for processes to end.
test: setup ## run the default test suite; ARGS="-k name" narrows it
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

campaign: setup ## every failure mode at full length (up to 20 minutes)
	@$(BIN)/pytest -n 2 --dist worksteal -m campaign $(ARGS)

live: setup ## install the agents' programs and drive them against a scripted model
	@$(BIN)/python -m tests.live.install $(if $(UPGRADE),--upgrade)
	@$(BIN)/pytest -n 4 --dist worksteal -m live_cli $(ARGS)

components: setup ## install Prometheus, xmllint and report schemas where that can be, and test against them
	@$(BIN)/python -m tests.components.install
	@$(BIN)/pytest -m components $(ARGS)

lint: setup ## ruff: rules and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup ## mypy --strict
	@$(BIN)/mypy

contracts: setup ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-logo

docs: setup ## regenerate the generated references
	@$(BIN)/python scripts/generate_docs.py

check: lint types contracts test ## everything a change must pass

lock: ## pin what pyproject.toml asks for; UPGRADE=1 takes the newest versions
	@python=$$(sh scripts/find_python.sh) && "$$python" -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python $(PIP) install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK_VENV)/bin/pip-compile --quiet --no-config \
		--extra dev --build-deps-for editable --generate-hashes --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		$(if $(UPGRADE),--upgrade) --output-file requirements/dev.txt pyproject.toml
	@rm -rf $(LOCK_VENV)

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) $(LOCK_VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
