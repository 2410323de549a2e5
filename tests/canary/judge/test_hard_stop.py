"""The hard stop: plain outages of the canary alone."""

from canary.judge import hard_stop
from canary.judge.arms import ArmSums, Sides
from canary.spec.models import HardStop


def _play(*blocks: tuple[float, float, float, float], settings: HardStop = HardStop()) -> hard_stop.Memory:  # noqa: B008 - frozen
    """Blocks of (canary errors, requests, stable errors, requests), one a second."""
    memory = dict(hard_stop.NOTHING)
    for t, (bad, n, bad_stable, n_stable) in enumerate(blocks):
        canary = ArmSums(1, n, bad, n)
        stable = ArmSums(1, n_stable, bad_stable, n_stable) if n_stable else ArmSums()
        memory = hard_stop.look(settings, memory, Sides(canary, stable, (stable, ArmSums()), []), float(t))
    return memory


def test_two_scrapes_of_plain_outage_stop_the_canary() -> None:
    assert not hard_stop.stops(HardStop(), _play((15, 20, 0, 400)))
    memory = _play((0, 20, 0, 400), (15, 20, 0, 400), (10, 20, 0, 400))
    assert hard_stop.stops(HardStop(), memory)
    assert memory["began"] == 1.0


def test_one_good_scrape_in_between_starts_the_count_anew() -> None:
    assert not hard_stop.stops(HardStop(), _play((15, 20, 0, 400), (2, 20, 0, 400), (15, 20, 0, 400)))


def test_with_little_traffic_scrapes_are_put_together() -> None:
    """Ten requests a scrape: two scrapes make one look, four make two."""
    failing = (8.0, 10.0, 0.0, 190.0)
    assert not hard_stop.stops(HardStop(), _play(*[failing] * 3))
    assert hard_stop.stops(HardStop(), _play(*[failing] * 4))


def test_an_outage_of_both_arms_is_not_the_canarys() -> None:
    assert not hard_stop.stops(HardStop(), _play(*[(18, 20, 300, 400)] * 4))


def test_at_all_traffic_there_is_no_stable_to_be_well() -> None:
    assert hard_stop.stops(HardStop(), _play(*[(200, 400, 0, 0)] * 2))


def test_it_can_be_switched_off() -> None:
    off = HardStop(enabled=False)
    assert not hard_stop.stops(off, _play(*[(20, 20, 0, 400)] * 5, settings=off))


def test_missing_error_counts_are_no_data() -> None:
    memory = dict(hard_stop.NOTHING)
    silent = ArmSums(1, 50.0, None, 0.0)
    assert hard_stop.look(HardStop(), memory, Sides(silent, silent, (silent, ArmSums()), []), 0.0)["canary"] == [0, 0]
