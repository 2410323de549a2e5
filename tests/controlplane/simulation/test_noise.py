"""The weather: multipliers of mean one, calmer over long blocks, and spells that come as often as they should."""

import numpy as np
import pytest
from numpy.random import default_rng

from controlplane.simulation.noise import NOISES, Floats, LoadWave, Spells, Wander


def wander(seconds: float, blocks: int, sd: float = 0.3, tau: float = 120.0) -> Floats:
    """One long series of multipliers."""
    return Wander(default_rng(1), np.array([sd]), np.array([tau])).ahead(seconds, blocks)[:, 0]


@pytest.mark.parametrize("seconds", [5.0, 60.0, 1800.0])
def test_wandering_has_mean_one_at_every_pace(seconds: float) -> None:
    """Noise is no regression."""
    assert wander(seconds, 80_000).mean() == pytest.approx(1, abs=0.02)


def test_a_long_block_is_calmer_than_a_short_one() -> None:
    """The average over half an hour of a series with a memory of two minutes has a third of its spread."""
    assert np.log(wander(5.0, 40_000)).std() == pytest.approx(0.3, rel=0.05)
    assert np.log(wander(1800.0, 40_000)).std() == pytest.approx(
        0.3 * np.sqrt(2 * 120 / 1800 * (1 - 120 / 1800)), rel=0.05
    )


def test_two_short_blocks_are_one_long_one() -> None:
    """Averaging pairs gives the spread of double blocks: the pace changes nothing but the grain."""
    pairs = np.log(wander(60.0, 80_000)).reshape(-1, 2).mean(axis=1)
    assert pairs.std() == pytest.approx(np.log(wander(120.0, 40_000)).std(), rel=0.03)


def test_blocks_that_were_not_used_never_happened() -> None:
    """Going on after two of five blocks continues the path at the second block's end."""
    series = Wander(default_rng(3), np.array([1.0]), np.array([1e9]))
    first = series.ahead(5.0, 5)[:, 0]
    series.used(2)
    assert series.ahead(5.0, 1)[0, 0] == pytest.approx(first[1], rel=1e-2), "with a memory of decades nothing moves"


def test_spells_cover_what_their_rate_says() -> None:
    """0.7 an hour of 70 s on average cover 1.36 % of the time, however it is cut into blocks."""
    edges = np.arange(0, 3600 * 2000, 600.0)
    _, covered = Spells(default_rng(5), 0.7, (20, 120), (2, 14)).over(edges)
    assert covered.mean() == pytest.approx(0.7 * 70 / 3600, rel=0.08)


def test_spells_are_the_same_at_any_pace() -> None:
    """The weather does not depend on how often somebody looks."""
    fine, coarse = (Spells(default_rng(5), 3, (30, 150), (0.4, 1.2)) for _ in range(2))
    sizes, _ = fine.over(np.arange(0, 36001.0, 5.0))
    assert sizes.reshape(-1, 12).mean(axis=1) == pytest.approx(coarse.over(np.arange(0, 36001.0, 60.0))[0])


def test_the_load_is_one_on_average_and_flat_without_noise() -> None:
    """A wave of six hours swings by 35 %; bursts add a little."""
    edges = np.arange(0, 3600 * 600 + 1, 300.0)
    load, _ = LoadWave(default_rng(2), NOISES["real"], 6 * 3600).over(edges)
    assert load.mean() == pytest.approx(1 + 3 * 90 * 0.8 / 3600, rel=0.02)
    assert load.max() > 1.3
    assert LoadWave(default_rng(2), NOISES["iid"], 6 * 3600).over(edges)[0] == pytest.approx(np.ones(len(edges) - 1))
