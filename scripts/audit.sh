#!/bin/sh
# `make audit`: whether any pinned package, of the image, of a user's install, of the tests or of the tools, has a known
# vulnerability, by the database of PyPI or the one that SERVICE names (osv). It asks a network, so no test does it. A package
# that the database does not know, or a database that does not answer, is no pass: it ends with 1 and says which files are
# open. PIP_AUDIT names another pip-audit than the pinned one.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${PIP_AUDIT:-}" ]; then
  "${PYTHON:-python3}" -m venv "$work/tools"
  "$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement requirements/tools.txt
  PIP_AUDIT=$work/tools/bin/pip-audit
fi
open=
for lock in requirements/*.txt; do
  name=$(basename "$lock" .txt)
  echo "· $lock"
  # Nothing is resolved or downloaded: a file with hashes says all there is. --strict: what is skipped fails.
  "$PIP_AUDIT" --strict --require-hashes --disable-pip --progress-spinner off --vulnerability-service "${SERVICE:-pypi}" \
    --requirement "$lock" || open="$open $name"
done
[ -z "$open" ] || { echo "· not audited, or with findings:$open (of requirements/). What is above says which." >&2; exit 1; }
