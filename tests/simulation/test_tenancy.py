"""Whatever one namespace may write, the rollouts of all others go as if it were not there.

In memory, with the real operator and its real adapters (`shared_cluster.py`): a fleet with a canary that breaks, once
alone and then beside a namespace whose owner does the worst that is known, and whatever comes to mind. Every object of
the others is compared as text, every change of a split with its time, and everything that leaves the cluster is read.
More of it runs with SERINUS_PROFILE=nightly.
"""

import difflib
import os
import pprint
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.simulation.attacker import Act, act
from tests.simulation.outside import METADATA, address_of, play
from tests.simulation.random_acts import RANDOM
from tests.simulation.shared_cluster import ABORTED, BAD, GOOD, HOOKS, HOSTILE, MARKERS, PLACE, Told, run
from tests.simulation.worst_acts import WORST

NIGHTLY = os.environ.get("SERINUS_PROFILE") == "nightly"
EXAMPLES = 2_000 if NIGHTLY else 8
"""Each takes one to three seconds of a processor."""
PHASES = list(Phase) if NIGHTLY else [Phase.explicit, Phase.reuse, Phase.generate]
"""A failing example is made smaller at night alone: that takes hundreds of runs. By day its acts are all shown."""
GROUP = 1 if NIGHTLY else 5
"""Of the worst so many are done in one run."""
LONGEST_TURN = 1.0
"""Seconds of processor time that one turn of the loop may take: the lease lasts six."""
A_TICK = 1.0
"""Seconds between two looks at the numbers."""
FORBIDDEN = {METADATA, "127.0.0.1", "::1"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The fleet without anybody beside it."""
    return play(run(tmp_path_factory.mktemp("alone")))


def beside(folder: Path, acts: Sequence[Act], *, schema: bool = True) -> Told:
    """The same fleet beside a namespace in which this is done."""
    return play(run(folder, partial(act, acts=acts), schema=schema))


def harm(told: Told, alone: Told, *, schema: bool = True) -> dict[str, object]:
    """What of the others is other than it was alone, and what of theirs went where it must not.

    Where the server took objects that our schema refuses, the operator may call what it met a bug.
    """
    delay = 0.0 if _shapes(told) != _shapes(alone) else max(map(abs, _delays(told, alone)))
    found = {
        "operators that ended": told.ended,
        "bugs": [each for each in told.said if "bug of ours" in each] if schema else [],
        "weights": {name: weights for name, weights in _shapes(told).items() if weights != _shapes(alone).get(name)},
        "seconds of delay": delay if delay >= A_TICK else 0,
        "alerts": _first_difference("\n".join(sorted(told.alerts)), "\n".join(sorted(alone.alerts))),
        "objects": {
            name: _first_difference(told.objects.get(name, ""), alone.objects.get(name, ""))
            for name in sorted({*told.objects, *alone.objects})
            if told.objects.get(name) != alone.objects.get(name)
        },
        "Secrets": {path for path in told.secrets if f"/namespaces/{HOSTILE}/" not in path} ^ alone.secrets,
        "paths that climb": told.climbing,
        "stolen host names": told.stolen,
        "seconds of one turn": told.longest if told.longest >= LONGEST_TURN else 0,
        "leaks": _leaks(told),
    }
    return {what: each for what, each in found.items() if each}


def _first_difference(one: str, other: str) -> list[str]:
    """A few lines."""
    lines = difflib.unified_diff(other.splitlines(), one.splitlines(), lineterm="", n=0)
    return [line[:300] for line in list(lines)[:12]]


def _shapes(told: Told) -> dict[str, list[int]]:
    """By rollout, the canary's weights in their order."""
    return {name: [weight for _, weight in splits] for name, splits in sorted(told.splits.items())}


def _delays(told: Told, alone: Told) -> list[float]:
    """How much later than alone each weight came into force, in seconds."""
    return [
        at - before
        for name, splits in told.splits.items()
        for (at, _), (before, _) in zip(splits, alone.splits[name], strict=True)
    ]


def _leaks(told: Told) -> list[object]:
    """Requests to forbidden addresses or with what a Secret of the others holds, and such words that were kept."""
    markers = {value: place for place, data in MARKERS.items() for value in data.values() if place[0] != HOSTILE}
    found: list[object] = [each for each in told.sent if address_of(each.dialled) in FORBIDDEN]
    for each in told.sent:
        known = [place for marker, place in markers.items() if marker in each.text or marker in each.path]
        if any(place[0] != PLACE or not each.host.endswith("models.example.com") for place in known):
            found.append(each)
    written = "\n".join([*told.said, told.hostile, *(v for k, v in told.objects.items() if not k.startswith("Secret"))])
    return [*found, *(marker for marker in markers if marker in written)]


def test_s14_the_fleet_does_what_the_others_are_compared_with(alone: Told) -> None:
    """One canary is rolled back at half of the traffic, one promoted, one aborted, and all three tell."""
    assert _shapes(alone) == {
        ABORTED: [0, 1, 50_000, 1, 0],
        BAD: [0, 1, 50_000, 500_000, 1, 0],
        GOOD: [0, 1, 50_000, 500_000, 999_999, 1_000_000],
    }
    assert len(alone.alerts) == 3
    assert {each.host for each in alone.sent} >= {HOOKS, "git.models.example.com"}
    assert harm(alone, alone) == {}


@pytest.mark.parametrize("group", [list(WORST)[first : first + GROUP] for first in range(0, len(WORST), GROUP)])
def test_s14_the_worst_of_one_namespace_changes_nothing_for_the_others(
    group: Sequence[str], alone: Told, tmp_path: Path
) -> None:
    """Some at once, to save time; what fails is done alone after that, so that it is known which it is."""
    acts = [each for number, what in enumerate(group) for each in WORST[what](f"evil-{number}")]
    if harm(beside(tmp_path, acts), alone):
        each_alone = {what: harm(beside(tmp_path / what, WORST[what]("evil")), alone) for what in group}
        pytest.fail(pprint.pformat({what: each for what, each in each_alone.items() if each} or "only all at once"))


@settings(max_examples=EXAMPLES, phases=PHASES)
@given(acts=st.lists(RANDOM, min_size=30, max_size=90), schema=st.sampled_from([True, True, False]))
def test_s14_whatever_one_namespace_writes_changes_nothing_for_the_others(
    acts: Sequence[Act], schema: bool, alone: Told, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if done := harm(beside(tmp_path_factory.mktemp("beside"), acts, schema=schema), alone, schema=schema):
        pytest.fail("\n".join([pprint.pformat(done, width=120), *map(repr, acts)]))
