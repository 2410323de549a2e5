"""Texts become plans, or all their faults at once."""

from pathlib import Path

import pytest

from canary.spec import parse, revision

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.canary.yml")), ids=lambda path: path.name)
def test_every_example_is_a_plan(path: Path) -> None:
    """The samples work as they stand, in all three forms."""
    canary = parse(path.read_bytes(), path.name)
    assert canary.spec.stages[-1].traffic == 1.0
    assert len(revision(canary)) == 16
