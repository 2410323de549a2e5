"""Events as the page shows them: the contract's line unchanged, with words, marks and evidence beside it."""

from dataclasses import replace

from canary.rollout import Phase, Reason
from canary.serial import event_line
from controlplane.api.event_view import told
from tests.controlplane.view import scenes

HISTORY = scenes.rolled_back()[0].history


def test_the_line_of_the_contract_is_unchanged() -> None:
    for event in HISTORY:
        line = told(event)
        shown = line.pop("shown")
        assert line == event_line(event)
        assert shown["symbol"]
        assert shown["word"]
        assert shown["text"]


def test_a_verdict_has_its_answer_as_word_and_its_evidence_as_text() -> None:
    shown = next(told(event)["shown"] for event in HISTORY if event.event == "verdict")
    assert (shown["symbol"], shown["word"], shown["tone"], shown["kind"]) == ("✔", "pass", "good", "verdict")
    assert ["samples", '{"stable": 31200, "canary": 9013}'] in shown["evidence"]
    assert ["canary", "0.091"] in shown["evidence"]


def test_the_end_says_how_it_went() -> None:
    shown = told(HISTORY[-1])["shown"]
    assert shown["text"].startswith("rolled back; verdict to no traffic 84 ms; answered: 60,000 on stable")
    assert (shown["symbol"], shown["tone"]) == ("✖", "bad")


def test_charts_mark_shifts_starts_failures_alerts_and_people_and_nothing_else() -> None:
    marked = [(event.event, event.reason.value) for event in HISTORY if told(event)["shown"]["marks"]]
    assert marked == [("weights", "StagePassed"), ("phase", "GateFailed"), ("weights", "GateFailed")]
    alert = replace(HISTORY[0], event="alert")
    start = replace(HISTORY[0], phase=Phase.SHIFTING, reason=Reason.VARIANTS_READY)
    assert told(alert)["shown"]["symbol"] == "!"
    assert told(start)["shown"]["marks"] is True


def test_what_is_empty_is_no_evidence_and_what_is_zero_is() -> None:
    event = replace(HISTORY[0], evidence={"a": None, "b": "", "c": 0, "d": False, "e": {}, "f\x1b[31m": "x\u202e"})
    assert told(event)["shown"]["evidence"] == [["c", "0"], ["d", "false"], ["e", "{}"], ["f", "x"]]
