# Two commands matter: `make demo` sets up and shows a canary being rolled back, `make test` sets up and runs every check.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check setup nightly clean
demo: setup
	@$(BIN)/serinus demo

test: setup check
	@sh scripts/chromium.sh || true
	@$(BIN)/pytest -n 2 --dist worksteal

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

nightly: setup
	@SERINUS_PROFILE=nightly $(BIN)/pytest -n 2 --dist worksteal

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/setup.sh

clean:
	rm -rf $(VENV)
