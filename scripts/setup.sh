#!/bin/sh
# Makes the virtual environment and fetches Prometheus. Called by the Makefile; repeats safely.
# It installs nothing outside the virtual environment and the user's cache folder.
set -eu
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "serinus needs Python 3.11 or newer, and $PYTHON is $("$PYTHON" -V 2>&1). Try: make demo PYTHON=python3.12" >&2
  exit 2
}
[ -x "$VENV/bin/python" ] || { echo "· making the virtual environment in $VENV"; "$PYTHON" -m venv "$VENV"; }
echo "· installing serinus and its tools (a minute or two the first time)"
pip() { "$VENV/bin/python" -m pip "$@" --quiet --disable-pip-version-check --no-compile; }
# A file whose hash is not in the list ends this. Sources are refused: what builds them would come without a hash.
pip install --require-hashes --only-binary :all: --requirement requirements/dev.txt
pip install --no-deps --no-build-isolation --editable .
# What pip would do on one core, on all of them. Templates among the packages' files are no Python: nobody imports those.
"$VENV/bin/python" -m compileall -qq -j 0 "$VENV/lib" || true
sh scripts/prometheus.sh || true
touch "$VENV/ready"
