"""How a story is told: what matters in order, the end in a few lines, everything as event lines."""

import json

from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from controlplane.simulation.telling import ending, event_lines, scenario_lines, told
from controlplane.view.marks import UNICODE
from tests.simulation.plans import SHORT_PLAN, TINY_PLAN


def story(name: str) -> Story:
    """A story of the short plan."""
    return simulate(SHORT_PLAN, SCENARIOS[name], seed=3)


def test_the_text_tells_each_stage_and_fits_its_width() -> None:
    """With a symbol, the time and the weight before each sentence."""
    lines = list(told(story("healthy"), UNICODE, width=80))
    assert max(len(line) for line in lines) <= 80
    text = " ".join(" ".join(lines).split())
    for weight in ("5 %", "25 %", "75 %", "100 %"):
        assert f"v2 gets {weight}" in text or f"Giving {weight}" in text
    assert text.index("Giving 25 %") < text.index("Giving 75 %") < text.index("promoted")


def test_a_rollback_is_told_once_with_its_evidence() -> None:
    """The gate's sentence is the rollback's; it does not stand there twice."""
    text = " ".join(" ".join(told(story("errors-x20"), UNICODE, width=100)).split())
    assert text.count("error rate:") >= 1
    assert text.count(UNICODE.failed) == 2, "the verdict, and the end"
    assert "All traffic is on v1 again" in text


def test_the_end_says_when_harm_began_and_what_it_cost() -> None:
    """Times and requests."""
    text = "\n".join(ending(story("errors-x20"), SCENARIOS["errors-x20"]))
    assert "rolled back after" in text
    assert "decided at" in text
    assert "0 failed by a change of weights" in text
    assert "undecided after" in "\n".join(
        ending(simulate(TINY_PLAN, SCENARIOS["no-traffic"], horizon=60.0), SCENARIOS["no-traffic"])
    )


def test_event_lines_are_strict_json_and_end_with_the_end() -> None:
    """With the requests that were really sent."""
    played = story("errors-x20")
    lines = [json.loads(json.dumps(line, allow_nan=False)) for line in event_lines(played, "short")]
    assert [line["event"] for line in lines].count("end") == 1
    last = lines[-1]
    assert (last["event"], last["result"]) == ("end", "rolled_back")
    assert last["requests"] == dict(played.requests) | {"failed_by_shift": 0}
    assert {"harm_began", "decided", "zero", "decided_to_zero"} <= set(last)
    assert len({line["id"] for line in lines}) == len(lines)
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


def test_a_story_without_an_end_gets_one_that_says_so() -> None:
    """Timed out."""
    lines = list(event_lines(simulate(TINY_PLAN, SCENARIOS["no-traffic"], horizon=60.0), "tiny"))
    assert (lines[-1]["event"], lines[-1]["result"]) == ("end", "timed_out")
    assert set(lines[0]) <= set(lines[-1])


def test_the_list_has_a_paragraph_for_each_scenario() -> None:
    """By name."""
    lines = list(scenario_lines(80))
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(SCENARIOS)
