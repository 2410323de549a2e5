"""Columns for charts: bands from samples that have them, nothing where nothing was counted, always of one length."""

from controlplane.api.series import Series, series
from tests.controlplane.view import scenes

GATE = "latency p95 <= 200ms"
PLAIN = {"t": 1.0, "asked": 0.25, "in_force": 0.25, "gates": {GATE: [0.08, 0.09, 0.2]}}
BANDED = {**PLAIN, "t": 2.0, "bands": {GATE: {"canary": [0.07, 0.11]}}}


def lengths(found: Series) -> set[int]:
    columns = [found.asked, found.in_force]
    for gate in found.gates:
        columns += [gate.stable, gate.canary, gate.limit, *(end for band in gate.bands.values() for end in band if end)]
    return {len(column) for column in columns}


def test_bands_stand_beside_the_values_and_are_empty_where_there_never_was_one() -> None:
    found = series([PLAIN, BANDED], [])
    (gate,) = found.gates
    assert gate.bands == {"stable": ([], []), "canary": ([None, 0.07], [None, 0.11])}
    assert lengths(found) == {2}


def test_samples_that_make_no_sense_are_no_data() -> None:
    broken = {**BANDED, "bands": {GATE: {"canary": [float("nan")], "stable": ["x", None]}}}
    (gate,) = series([broken], []).gates
    assert gate.bands == {"stable": ([None], [None]), "canary": ([None], [None])}


def test_events_have_values_but_no_bands() -> None:
    found = series([], scenes.rolled_back()[0].history)
    assert found.source == "events"
    assert all(band == ([], []) for gate in found.gates for band in gate.bands.values())
    assert lengths(found) == {len(found.t)}
