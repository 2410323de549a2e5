"""Evaluations from files, and what is said of bad ones."""

import os
from pathlib import Path

import pytest

from canary.errors import BadInput, SpecError
from controlplane.evaluation.loading import load_file
from tests.controlplane.evaluation.evaluations import write

PLAN = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2}
  stages: [{traffic: 100%}]
"""


def test_a_file_of_its_own_and_a_canary_yml_are_the_same_evaluation(tmp_path: Path) -> None:
    own = load_file(write(tmp_path, 20))
    plan = tmp_path / "canary.yml"
    plan.write_text(
        PLAN
        + '  evaluation: {dataset: items.jsonl, metrics: ["contains >= stable"], request: {inFlight: 8, timeout: 5s}}\n'
    )
    of_plan = load_file(plan)
    assert (own.items, own.model, own.units) == (of_plan.items, of_plan.model, of_plan.units)


def test_the_digest_is_of_the_data_set_the_request_and_the_criteria(tmp_path: Path) -> None:
    first = load_file(write(tmp_path, 20)).digest
    assert load_file(write(tmp_path, 20)).digest == first
    changed = [
        load_file(write(tmp_path, 21)).digest,
        load_file(write(tmp_path, 20, metrics=["contains >= 70%"])).digest,
        load_file(write(tmp_path, 20, request={"maxTokens": 9})).digest,
        load_file(write(tmp_path, 20, scorers={"contains": {"kind": "contains", "ignoreCase": False}})).digest,
    ]
    assert len({first, *changed}) == 5


def test_every_bad_line_is_named_with_its_number(tmp_path: Path) -> None:
    lines = ['{"id": "a", "prompt": "x", "expected": "y"}', "{", '{"id": "a", "prompt": "x"}']
    with pytest.raises(BadInput) as refused:
        load_file(write(tmp_path, lines=lines))
    file = tmp_path / "items.jsonl"
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"{file}: line 2: is no JSON")
    assert second == f'{file}: line 3: the id "a" stands in line 1 already'


def test_items_without_what_the_scorer_needs_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 1: has no expected, which contains holds"):
        load_file(write(tmp_path, lines=['{"id": "a", "prompt": "x"}']))


def test_a_fault_points_into_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"evaluation.yml:3:\d+: metrics\[0\]: .* has no scorer"):
        load_file(write(tmp_path, metrics=["politeness >= stable"]))
    with pytest.raises(SpecError, match="no scorer of kind llm is built yet"):
        load_file(write(tmp_path, scorers={"contains": {"kind": "llm"}}))
    with pytest.raises(SpecError, match="unknown key"):
        load_file(write(tmp_path, colour="red"))


@pytest.mark.parametrize("place", ["http://169.254.169.254/items.jsonl", "https://example.com/items.jsonl", "s3://a/b"])
def test_s4_a_data_set_at_an_address_is_fetched_from_nowhere(tmp_path: Path, place: str) -> None:
    """So it cannot lead inward either, by a redirect or at once."""
    with pytest.raises(SpecError, match="is an address; a data set is read from a file"):
        load_file(write(tmp_path, dataset=place))


def test_a_data_set_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / "items.jsonl").unlink()
    with pytest.raises(BadInput, match=r"items.jsonl does not exist"):
        load_file(file)
    os.mkfifo(tmp_path / "items.jsonl")
    with pytest.raises(BadInput, match="is not a regular file"):
        load_file(file)


def test_a_plan_without_an_evaluation_says_so(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(PLAN)
    with pytest.raises(BadInput, match="has no evaluation: nothing was asked"):
        load_file(tmp_path / "canary.yml")


def test_a_file_of_its_own_names_its_model(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r":1:1: request\.model is missing"):
        load_file(write(tmp_path, request={"model": None}))
