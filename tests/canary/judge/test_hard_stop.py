"""The hard stop: plain outages of the canary alone."""

from math import floor

from hypothesis import given
from hypothesis import strategies as st

from canary.judge import hard_stop
from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.hard_stop import Outage
from canary.spec.models import HardStop


def _play(*blocks: tuple[float, float, float, float], settings: HardStop = HardStop()) -> Outage:  # noqa: B008 - frozen
    """Blocks of (canary errors, requests, stable errors, requests), one a second."""
    outage = Outage()
    for t, (bad, n, bad_stable, n_stable) in enumerate(blocks):
        canary = ArmSums(1, n, bad, n)
        stable = ArmSums(1, n_stable, bad_stable, n_stable) if n_stable else ArmSums()
        outage = hard_stop.look(settings, outage, ArmPair(canary, stable, (stable, ArmSums()), []), float(t))
    return outage


def test_two_scrapes_of_plain_outage_stop_the_canary() -> None:
    assert not hard_stop.stops(HardStop(), _play((15, 20, 0, 400)))
    outage = _play((0, 20, 0, 400), (15, 20, 0, 400), (10, 20, 0, 400))
    assert hard_stop.stops(HardStop(), outage)
    assert outage.began == 1.0


def test_one_good_scrape_in_between_starts_the_count_anew() -> None:
    assert not hard_stop.stops(HardStop(), _play((15, 20, 0, 400), (2, 20, 0, 400), (15, 20, 0, 400)))


def test_the_scrape_in_which_an_outage_begins_counts_from_half_of_the_share_on() -> None:
    outage = _play((0, 20, 0, 400), (5, 20, 0, 400), (20, 20, 0, 400))
    assert hard_stop.stops(HardStop(), outage)
    assert outage.began == 1.0
    assert not hard_stop.stops(HardStop(), _play((4, 20, 0, 400), (20, 20, 0, 400)))


def test_scrapes_that_do_not_come_to_the_share_on_average_are_no_outage() -> None:
    assert not hard_stop.stops(HardStop(), _play((6, 20, 0, 400), (12, 20, 0, 400)))
    assert hard_stop.stops(HardStop(), _play((6, 20, 0, 400), (12, 20, 0, 400), (12, 20, 0, 400)))


def test_r8_a_stable_with_too_few_requests_to_be_known_as_well_stops_nothing() -> None:
    """An outage of both arms, and one of seven requests of stable that got through: it may as well be down."""
    assert not hard_stop.stops(HardStop(), _play((14, 20, 0, 1), (14, 20, 0, 1)))
    assert not hard_stop.stops(HardStop(), _play((11, 20, 1, 7), (10, 20, 1, 7)))
    assert hard_stop.stops(HardStop(), _play((20, 20, 0, 2), (20, 20, 0, 2)))
    assert hard_stop.stops(HardStop(), _play((11, 20, 0, 20), (10, 20, 0, 20)))


def test_a_canary_that_is_better_in_the_last_scrape_is_given_another() -> None:
    assert not hard_stop.stops(HardStop(), _play((20, 20, 0, 400), (9, 20, 0, 400)))


def test_only_the_newest_scrapes_count() -> None:
    """Long half-broken, then an outage: what went before takes nothing from it."""
    assert hard_stop.stops(HardStop(), _play(*[(6, 20, 0, 400)] * 50, (20, 20, 0, 400), (20, 20, 0, 400)))


@given(st.floats(1.0, 2.0), st.floats(0.0, 1.0))
def test_an_outage_is_seen_within_two_and_a_quarter_scrapes_and_one_shorter_than_a_scrape_never(
    begins: float, lasts: float
) -> None:
    """A hundred requests a scrape, of which those of some interval fail."""
    total = _failing(begins, begins + 10.0, scrapes=floor(begins + 2.26))
    assert hard_stop.stops(HardStop(), _play(*total))
    short = _failing(begins, begins + 0.98 * lasts, scrapes=5)
    assert not any(hard_stop.stops(HardStop(), _play(*short[:k])) for k in range(1, 6))


def _failing(begins: float, ends: float, scrapes: int) -> list[tuple[float, float, float, float]]:
    """Scrapes of a hundred evenly spread requests, of which those between these times fail; stable is well."""
    parts = [max(0.0, min(ends, k + 1) - max(begins, k)) for k in range(scrapes)]
    return [(round(100 * part), 100, 0, 400) for part in parts]


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
    silent = ArmSums(1, 50.0, None, 0.0)
    sides = ArmPair(silent, silent, (silent, ArmSums()), [])
    assert hard_stop.look(HardStop(), Outage(), sides, 0.0).canary == (0, 0)


def _refusing(canary: float, stable: float, *, of: float = 20.0) -> Outage:
    """Three scrapes in which so many canary requests of 20, and stable's of 400, are answered 4xx, and none fails."""
    outage = Outage()
    for t in range(3):
        mine = ArmSums(1, of, 0.0, of, totals={"client_errors": canary, "throttled": 0.0})
        theirs = ArmSums(1, 400.0, 0.0, 400.0, totals={"client_errors": stable / 2, "throttled": stable / 2})
        sides = ArmPair(mine, theirs, (theirs, ArmSums()), [])
        outage = hard_stop.look(HardStop(), outage, sides, float(t), refused=True)
    return outage


def test_a_canary_that_refuses_what_stable_answers_is_an_outage() -> None:
    assert hard_stop.stops(HardStop(), _refusing(20, 0))
    assert not hard_stop.stops(HardStop(), _refusing(4, 0))


def test_a_service_that_refuses_many_by_nature_is_not_judged_by_it() -> None:
    """Whether for its clients' errors or for their rate."""
    assert not hard_stop.stops(HardStop(), _refusing(20, 120))


def test_refusals_are_no_failures_by_the_first_count() -> None:
    refused = ArmSums(1, 20.0, 0.0, 20.0, totals={"client_errors": 20.0, "throttled": 0.0})
    stable = ArmSums(1, 400.0, 0.0, 400.0)
    outage = Outage()
    for t in range(3):
        outage = hard_stop.look(HardStop(), outage, ArmPair(refused, stable, (stable, ArmSums()), []), float(t))
    assert not hard_stop.stops(HardStop(), outage)
