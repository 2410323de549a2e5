"""The sample-ratio check: is the traffic split as asked?"""

import numpy as np
import pytest

from canary.judge import sample_ratio
from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.sample_ratio import SampleRatio


def _served(rng: np.random.Generator, n: float, asked: float, served: float, looks: int) -> SampleRatio:
    """So many scrapes of `n` requests, of which `served` is the canary's share."""
    found = SampleRatio()
    for _ in range(looks):
        total = rng.poisson(n)
        canary = rng.binomial(total, served)
        arms = ArmSums(1, float(canary)), ArmSums(1, float(total - canary))
        found = sample_ratio.look(found, ArmPair(*arms, (arms[1], ArmSums()), []), asked, 0.01, sticky=False)
    return found


@pytest.mark.parametrize(("asked", "n"), [(0.05, 300), (0.05, 5), (0.5, 20), (0.95, 300)])
def test_a_split_as_asked_is_hardly_ever_doubted(asked: float, n: float) -> None:
    rng = np.random.default_rng(31)
    assert not any(sample_ratio.fails(_served(rng, n, asked, asked, 250), 0.01) for _ in range(20))


@pytest.mark.parametrize(("asked", "served"), [(0.25, 0.35), (0.25, 0.0), (0.5, 0.4), (0.9, 1.0)])
def test_a_split_that_is_off_is_found(asked: float, served: float) -> None:
    assert sample_ratio.fails(_served(np.random.default_rng(32), 300, asked, served, 60), 0.01)


def test_small_deviations_are_nobodys_business() -> None:
    assert not sample_ratio.fails(_served(np.random.default_rng(33), 3000, 0.25, 0.26, 2000), 0.01)
