# Two commands matter: `make demo` sets up and shows a canary being rolled back, `make test` sets up and runs every check
# that needs no cluster. `make cluster` brings up a real Kubernetes on this machine to watch a rollout in, and
# `make test-cluster` runs the tests that need one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

TESTBED := tests/cluster/testbed/testbed

# The tests start hundreds of Python programs: each would compile Serinus anew where this forbids to keep what was compiled.
export PYTHONDONTWRITEBYTECODE :=

STORIES := tests/cluster/test_stories_*.py
CLUSTER := tests/cluster --ignore-glob='$(STORIES)'

.PHONY: demo test quick check setup nightly soak sbom audit clean cluster cluster-down test-cluster test-stories
demo: setup
	@$(BIN)/serinus demo

test: setup
	@VENV=$(VENV) sh scripts/test.sh

# What a change of one package needs first; `make quick AT=tests/canary` runs that folder alone.
quick: setup
	@$(BIN)/pytest $(or $(AT),tests) -q -m "not slow and not statistics and not real"

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

# Some of these take hours, so a hang is noticed late.
nightly: setup
	@SERINUS_PROFILE=nightly $(BIN)/pytest --timeout 86400 -n $${WORKERS:-3} --dist worksteal

# The operator as a process on the light test bed, and whether its memory, descriptors or ticks grow: make soak MINUTES=480
soak: setup
	@$(TESTBED) build light || true
	@$(BIN)/python -m benchmarks.scale --stories soak --rollouts $${ROLLOUTS:-50} --soak-minutes $${MINUTES:-60}

# A build that cannot be made is no end: each test then says what it lacks, and fails where CI is set.
test-cluster: setup
	@$(TESTBED) build || true
	@$(BIN)/pytest $(CLUSTER); code=$$?; \
	  if [ $$code -eq 1 ]; then echo "· what failed above is run once more, alone and on a fresh bed: two cores can be late"; \
	    $(BIN)/pytest $(CLUSTER) --last-failed --last-failed-no-failures none; code=$$?; fi; \
	  echo "· not run: whole rollouts under restarts, deletions and kills, 17 minutes. This runs them: make test-stories"; exit $$code

test-stories: setup
	@$(TESTBED) build || true
	@$(BIN)/pytest $(STORIES)

cluster: setup
	@sh scripts/cluster.sh up

cluster-down:
	@sh scripts/cluster.sh down

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml requirements/dev.txt scripts/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/setup.sh

# What a release consists of, for people and for tools; the same commit gives the same files.
sbom: setup
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python scripts/sbom.py dist

audit:
	@PYTHON=$(PYTHON) sh scripts/audit.sh

clean:
	rm -rf $(VENV)
