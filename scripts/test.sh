#!/bin/sh
# `make test`: every check and every test that needs no cluster. Called by the Makefile, which has set everything up.
# mypy needs a core for the better part of a minute, and the tests of real programs mostly wait: so it takes what they leave
# of the cores, and says at the end what it has to say. `make check` runs the checks alone.
set -eu
BIN=${VENV:-.venv}/bin
WORKERS=${WORKERS:-3}  # one more than the cores of the machine that this is measured on, for the one that mostly waits

TYPES=$(mktemp)
nice -n 10 "$BIN/mypy" >"$TYPES" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2>/dev/null || true; rm -f "$TYPES"' EXIT
trap 'exit 130' INT TERM

"$BIN/ruff" check .
"$BIN/ruff" format --check .
"$BIN/lint-imports"
sh scripts/chromium.sh || true
sh scripts/sshd.sh || true

tests=0 types=0
"$BIN/pytest" -n "$WORKERS" --dist worksteal || tests=$?
if [ "$tests" -eq 1 ]; then
  # A fault fails again; a real program that had no core for some seconds does not. What failed stays to be read above.
  echo "· what failed above is run once more, alone"
  tests=0
  "$BIN/pytest" --last-failed --last-failed-no-failures none --maxfail 5 || tests=$?
  [ "$tests" -ne 0 ] || echo "· it passed alone, so it fails only beside others: worth a look all the same"
fi
wait "$mypy" || types=$?
echo "· mypy:"
cat "$TYPES"
echo "· not run: the tests on a real cluster (tests/cluster). This runs them: make test-cluster"
[ "$tests" -eq 0 ] || exit "$tests"
exit "$types"
