"""The weights of all times when harm may have begun: never more than one in all."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge import onset_prior


@pytest.mark.parametrize("stages", [1, 2, 4, 9])
@pytest.mark.parametrize("planned", [0.0, 15.0, 14400.0, 2.4e6])
def test_the_weights_of_all_beginnings_never_exceed_one(stages: int, planned: float) -> None:
    ever = onset_prior.between(0.0, 1e12, planned)
    whole = onset_prior.first(stages) + (stages - 1) * onset_prior.later(stages) + ever
    assert 0.9 < whole <= 1.0 if planned else whole <= 1.0


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=20), st.floats(0, 1e6))
def test_it_does_not_matter_how_often_one_looks(times: list[float], planned: float) -> None:
    """The weight of an interval is the sum of its parts."""
    times = sorted(times)
    parts = [onset_prior.between(a, b, planned) for a, b in pairwise(times)]
    assert sum(parts) == pytest.approx(onset_prior.between(times[0], times[-1], planned), abs=1e-12)
    assert all(part >= 0 for part in parts)
