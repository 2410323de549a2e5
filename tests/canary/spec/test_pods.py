"""What a variant says about its pods is what the API server would take in a pod."""

from typing import Any

import pytest
from pydantic import ValidationError

from canary.errors import SpecError
from canary.spec import parse
from canary.spec.models import Variant
from canary.spec.pods import MOST, Toleration

PLAN = """\
metadata: {{name: a}}
spec:
  model: {{name: m}}
  stable: {{name: v1}}
  canary: {{name: v2, {}}}
  stages: [{{traffic: 100%}}]
"""


def canary(said: str) -> Variant:
    return parse(PLAN.format(said), "x.yml").spec.canary


def test_amounts_stay_texts_as_they_stand() -> None:
    assert canary("resources: {cpu: 4, memory: 32Gi, example.com/fpga: 2, a: 500m}").resources == {
        "cpu": "4",
        "memory": "32Gi",
        "example.com/fpga": "2",
        "a": "500m",
    }


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("resources: {memory: lots}", "spec.canary.resources.memory"),
        ("resources: {memory: -1}", "spec.canary.resources.memory"),
        ("resources: {memory: 4 Gi}", "spec.canary.resources.memory"),
        ("resources: {a/b/c: 4}", "spec.canary.resources.a/b/c"),
        ("nodeSelector: {gpu: a b}", "spec.canary.nodeSelector.gpu"),
        ("nodeSelector: {-gpu: a}", "spec.canary.nodeSelector.-gpu"),
        ("tolerations: [{operator: Sometimes}]", "spec.canary.tolerations[0].operator"),
        ("tolerations: [{key: a, effect: NoWay}]", "spec.canary.tolerations[0].effect"),
        ("tolerations: [{key: a, sekonds: 5}]", "spec.canary.tolerations[0].sekonds"),
        ("tolerations: [{key: a, operator: Exists, value: b}]", "spec.canary.tolerations[0].value"),
        ("tolerations: [{key: a, tolerationSeconds: 5}]", "spec.canary.tolerations[0].tolerationSeconds"),
        ("tolerations: [{value: a}]", "spec.canary.tolerations[0]"),
        ("lora: {Legal: hf://a/b}", "spec.canary.lora.Legal"),
        ("lora: {legal: ftp://a/b}", "spec.canary.lora.legal"),
        ("inferenceService: A_b", "spec.canary.inferenceService"),
    ],
)
def test_what_a_pod_could_not_have_is_refused_where_it_stands(said: str, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        canary(said)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_toleration_is_handed_on_as_kubernetes_writes_it() -> None:
    [one] = canary("tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]").tolerations
    assert one.model_dump(by_alias=True, exclude_none=True) == {
        "key": "nvidia.com/gpu",
        "operator": "Exists",
        "effect": "NoSchedule",
    }
    assert Toleration(key="a", effect="NoExecute", toleration_seconds=300).toleration_seconds == 300


@pytest.mark.parametrize("field", ["resources", "node_selector", "lora"])
def test_there_are_not_more_entries_than_anybody_writes(field: str) -> None:
    value = "hf://a/b" if field == "lora" else "1"
    some: dict[str, Any] = {field: {f"a{number}": value for number in range(MOST)}}
    assert getattr(Variant(name="v", **some), field) == some[field]
    with pytest.raises(ValidationError, match=f"at most {MOST} entries"):
        Variant(name="v", **{field: {**some[field], "one-more": value}})
