"""The benchmark may only speak for the judge if it computes the same evidence."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import judge_fleet
from benchmarks.judge import GATES, MARGINS, spec_of
from benchmarks.judge_traffic import BOUNDS, HARSH, Rollout, draw
from canary import judge
from canary.judge import Increments, ReplicaIncrements, compile_gates
from tests.canary.judge.worlds import remembered

EDGES = [*BOUNDS, math.inf]
STAGES = ((0.05, 400.0), (0.25, 400.0))


def _blocks(drawn: Rollout) -> Iterator[Increments]:
    """The same rollout as blocks of one canary and two stable replicas."""
    requests, errors, sales = (each.tolist() for each in (drawn.requests, drawn.errors, drawn.conversions))
    slow = drawn.slow.tolist()
    for k, (t, stage, share) in enumerate(
        zip(drawn.t.tolist(), drawn.stage.tolist(), drawn.share.tolist(), strict=True)
    ):
        pods = [
            ReplicaIncrements(
                requests[g][k],
                errors[g][k],
                {"latency": dict(zip(EDGES, slow[g][k], strict=True))},
                kpis={"conversion": (sales[g][k], requests[g][k])},
            )
            for g in range(3)
        ]
        canary = {"c-0": pods[0]} if share > 0 else {}
        yield Increments(t, stage, share, {"canary": canary, "stable": {"s-0": pods[1], "s-1": pods[2]}})


@pytest.mark.parametrize("harm", ["", "err2"])
def test_the_fleet_weighs_evidence_as_the_judge_does(harm: str) -> None:
    """Two stages, harsh noise, four gates: after every block the same evidence, to the sixth digit."""
    spec = spec_of(GATES, STAGES)
    drawn = draw(np.random.default_rng(8), HARSH, harm=harm, stages=STAGES, history=900.0)
    went = judge_fleet.course(spec, [judge_fleet.counts(spec, drawn)], drawn.t, drawn.stage)
    config = compile_gates(spec)
    state, evidence = judge.begin(config), []
    for block in _blocks(drawn):
        state = judge.update(config, state, block)
        if block.t > 0:
            evidence.append(judge.weight_of_evidence(config, state))
    assert went.total[0] == pytest.approx(evidence, abs=1e-5)


@pytest.mark.parametrize("which", range(len(MARGINS)))
def test_the_fleet_clears_a_canary_as_the_judge_does(which: int) -> None:
    spec = spec_of(MARGINS[which][:1], STAGES)
    drawn = draw(np.random.default_rng(9), HARSH, stages=STAGES, history=900.0)
    went = judge_fleet.course(spec, [judge_fleet.counts(spec, drawn)], drawn.t, drawn.stage)
    config = compile_gates(spec)
    state, cleared = judge.begin(config), []
    for block in _blocks(drawn):
        state = judge.update(config, state, block)
        if block.t > 0:
            (e,) = remembered(state).everything.gates.values()
            cleared.append(e.passing.log_e)
    assert went.clear[0] == pytest.approx(cleared, abs=1e-5)
