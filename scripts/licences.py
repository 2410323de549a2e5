"""The licence of every Python package that a user may install, by its SPDX expression.

`scripts/lock.sh` calls it with pip's report about the packages of requirements/run.txt and writes
requirements/licences.json,
so that a package that changes its licence shows in the review of a change of pins. `scripts/sbom.py` and the tests read
that. Which licences the project takes stands in pyproject.toml. No text of a licence is read here.
"""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boolean.boolean import AND, OR
from license_expression import ExpressionError, ExpressionParseError, LicenseExpression, get_spdx_licensing
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "requirements" / "licences.json"
SPDX = get_spdx_licensing()
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Those that mean one licence; "BSD License" means several."""


def policy() -> tuple[frozenset[str], Mapping[str, str]]:
    """The licences that are taken, and those of packages that do not state theirs, as read in their LICENSE."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["serinus"]["licences"]
    return frozenset(table["allowed"]), table["read"]


def is_spdx(text: str) -> bool:
    """Whether the text is an expression of licences that SPDX knows."""
    try:
        return SPDX.parse(text, validate=True) is not None
    except (ExpressionError, ExpressionParseError):
        return False


def stated(metadata: Mapping[str, Any]) -> str | None:
    """What a package's own metadata (PEP 566, as JSON) says; None where that is nothing, or nothing definite."""
    for field in ("license_expression", "license"):
        text = metadata.get(field) or ""
        if is_spdx(text):
            return str(SPDX.parse(text))
    trove = [each.rpartition(" :: ")[2] for each in metadata.get("classifier", ()) if each.startswith("License :: ")]
    known = [CLASSIFIERS[each] for each in trove if each in CLASSIFIERS]
    return " AND ".join(sorted(known)) if known and len(known) == len(trove) else None


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether all licences that apply together are taken, and one of those to choose from."""

    def holds(part: LicenseExpression) -> bool:
        if isinstance(part, AND):
            return all(map(holds, part.args))
        if isinstance(part, OR):
            return any(map(holds, part.args))
        return str(part) in allowed

    return is_spdx(expression) and holds(SPDX.parse(expression))


def record(report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Version and licence of each package of pip's report. Raises `ValueError` for a package without a licence."""
    _, read = policy()
    found = {}
    for each in report["install"]:
        metadata = each["metadata"]
        name = canonicalize_name(metadata["name"])
        licence = stated(metadata) or read.get(name)
        if licence is None:
            raise ValueError(
                f"{name} {metadata['version']} says no licence that SPDX knows. Read its LICENSE, and write what it "
                "is into pyproject.toml under tool.serinus.licences.read, or do without the package."
            )
        found[str(name)] = {"version": metadata["version"], "licence": licence}
    return dict(sorted(found.items()))


if __name__ == "__main__":
    packages = record(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    RECORD.write_text(json.dumps(packages, indent=1) + "\n", encoding="utf-8")
