"""`kubectl canary diff`: what the plan changes, with nothing secret in it."""

import json

from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.readmodel.panels_diff import changes
from controlplane.view.table import differences
from tests.controlplane.kubectl.desk import a_canary, a_spec, desk


def test_only_what_differs_is_shown_and_credentials_are_hidden() -> None:
    person = desk()
    spec = a_spec() | {
        "stable": {"name": "v1", "image": "sim:1", "engine": {"dtype": "bf16"}, "replicas": 2},
        "canary": {"name": "v2", "image": "sim:1", "engine": {"dtype": "fp8"}, "replicas": 2, "env": {"API_KEY": "s3"}},
    }
    person.kube.seed(MODEL_CANARY, a_canary(spec=spec))
    told = person("diff", "chat").stdout
    assert [line.split() for line in told.splitlines()] == [
        ["FIELD", "STABLE", "CANARY"],
        ["name", "v1", "v2"],
        ["engine.dtype", "bf16", "fp8"],
        ["env.API_KEY", "–", "(hidden)"],
    ]
    assert json.loads(person("diff", "chat", "-o", "json").stdout)["engine.dtype"] == {
        "stable": "bf16",
        "canary": "fp8",
    }


def test_no_output_tells_a_credential() -> None:
    person = desk()
    spec = a_spec() | {"canary": {"name": "v2", "env": {"API_KEY": "s3cret"}}}
    person.kube.seed(MODEL_CANARY, a_canary(spec=spec))
    for output in ("text", "json"):
        assert "s3cret" not in person("diff", "chat", "-o", output).stdout


def test_long_texts_are_compared_line_by_line() -> None:
    before, after = ({"systemPrompt": {"text": f"You help.\nBe {how}.\n"}} for how in ("kind", "brief"))
    shown = differences(changes(before, after))
    assert "-Be kind." in shown
    assert "+Be brief." in shown
    assert " You help." in shown or "You help." in shown


def test_a_plan_at_rest_changes_nothing() -> None:
    person = desk()
    person.kube.seed(MODEL_CANARY, a_canary(spec=a_spec() | {"canary": {"name": "v1"}}))
    assert "there is nothing to try" in person("diff", "chat").stdout
