"""The table of scenarios is the one that other tools rely on."""

from pathlib import Path

from controlplane.simulation.scenarios import SCENARIOS, TABLE

ROOT = Path(__file__).parents[3]


def test_the_names_of_the_scenarios_are_those_that_other_tools_use() -> None:
    """They may become more; none may be renamed."""
    promised = (
        "healthy errors-x2 errors-x20 latency-20 tail-25 leak under-load intermittent kpi-5 shared-outage "
        "stable-degrades no-traffic prometheus-down nan scrape-gaps counter-resets slow-start never-ready "
        "hang empty crash-loop controller-killed store-down writes-rejected clock-jump"
    )
    assert list(SCENARIOS) == promised.split()


def test_every_scenario_says_what_happens_and_what_should_come_of_it() -> None:
    """In whole sentences."""
    for scenario in TABLE:
        assert scenario.happens.endswith("."), scenario.name
        assert scenario.promise.endswith((".", ").")), scenario.name
        assert scenario.result in {"promoted", "rolled_back", "failed", "timed_out"}


def test_every_scenario_but_the_healthy_one_is_different() -> None:
    """None is the healthy world under another name."""
    worlds = [(scenario.flaw, scenario.faults) for scenario in TABLE]
    assert len(set(worlds)) == len(worlds)


def test_the_documents_describe_every_scenario() -> None:
    """docs/simulate.md has a line for each."""
    text = (ROOT / "docs" / "simulate.md").read_text()
    assert [name for name in SCENARIOS if f"`{name}`" not in text] == []
