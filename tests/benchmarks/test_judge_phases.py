"""The study of phases in small: healthy canaries stay, and harm is found as it is where all are scraped at once."""

from statistics import median

import pytest

from benchmarks.judge_phases import rollout


@pytest.mark.parametrize("replicas", [(1, 1), (2, 4)])
@pytest.mark.parametrize(("interval", "rollouts"), [(5, 12), (15, 24), (30, 36)])
def test_healthy_canaries_are_rolled_back_no_oftener_than_asked(
    interval: int, rollouts: int, replicas: tuple[int, int]
) -> None:
    """In short storms, which one arm's scrape may see before the other's; at 1 % one of so many may fail."""
    found = [rollout(seed, "short storms", interval, replicas, "", 15, "aligned")[1] for seed in range(rollouts)]
    assert sum(at is not None for at in found) <= 1


@pytest.mark.parametrize("interval", [5, 15, 30])
def test_harm_is_found_as_where_all_are_scraped_at_once(interval: int) -> None:
    """Half of the canaries within a fifth more time and a scrape; judged reading by reading most are never found."""
    times = {
        how: [rollout(seed, "iid", interval, (1, 1), "errors x10", 10, how)[1] or 1e9 for seed in range(9)]
        for how in ("in phase", "aligned", "unaligned")
    }
    assert median(times["aligned"]) <= 1.2 * median(times["in phase"]) + interval
    assert median(times["unaligned"]) > 300
