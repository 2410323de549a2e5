"""The versions panel: what differs comes first and is marked, long texts line by line, secrets never."""

from typing import Any

from canary.spec.models import CanarySpec
from controlplane.readmodel.panels import Panel
from controlplane.readmodel.panels_diff import versions_panel
from tests.controlplane.view import scenes


def panel(stable: dict[str, Any], canary: dict[str, Any]) -> Panel:
    plan = scenes.plan().model_dump(by_alias=True, exclude_defaults=True)
    stages = scenes.plan().stages
    arms = {"stable": {"name": "bf16", **stable}, "canary": {"name": "nf4", **canary}}
    return versions_panel(CanarySpec.model_validate({**plan, "stages": stages, **arms}))


def texts(shown: Panel) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in shown.rows]


def test_what_differs_comes_first_and_what_is_the_same_after_it() -> None:
    shown = panel(
        {"replicas": 2, "engine": {"maxNumSeqs": 64}},
        {"replicas": 2, "engine": {"maxNumSeqs": 128}, "quantization": "nf4"},
    )
    rows = texts(shown)
    assert rows[1:3] == [("engine.maxNumSeqs", "64", "128"), ("quantization", "–", "nf4")]
    assert rows[-1] == ("replicas", "2", "2")
    assert [row[0].symbol for row in shown.rows] == ["≠", "≠", "≠", "≠", "="]
    assert shown.note == "2 fields differ, marked ≠."


def test_digests_tell_two_variants_apart_and_know_the_same_one() -> None:
    differ = next(row for row in texts(panel({}, {"quantization": "nf4"})) if row[0] == "digest")
    same = next(row for row in texts(panel({}, {})) if row[0] == "digest")
    assert differ[1] != differ[2]
    assert same[1] == same[2]
    assert panel({}, {}).note == "Stable and canary are the same but for their names."


def test_a_prompt_is_compared_line_by_line() -> None:
    shown = panel(
        {"systemPrompt": {"text": "Be kind.\nBe brief.\nSay please."}},
        {"systemPrompt": {"text": "Be kind.\nBe exact.\nSay please."}},
    )
    rows = texts(shown)
    assert ("", "Be brief.", "") in rows
    assert ("", "", "Be exact.") in rows
    assert sum(row[0] == "systemPrompt.text" for row in rows) == 1


def test_what_may_be_secret_is_hidden_though_not_that_it_differs() -> None:
    secrets = "hunter2", "correct-horse"
    shown = panel(
        {
            "env": {"PASSPHRASE": secrets[0]},
            "engine": {"apiKey": secrets[0]},
            "command": ["serve", "--key", secrets[0]],
        },
        {
            "env": {"PASSPHRASE": secrets[1]},
            "engine": {"apiKey": secrets[1]},
            "command": ["serve", "--key", secrets[1]],
        },
    )
    everything = shown.model_dump_json()
    assert not any(secret in everything for secret in secrets)
    marked = {row[0].text for row in shown.rows if row[0].symbol == "≠"}
    assert {"env.PASSPHRASE", "engine.apiKey", "command"} <= marked
