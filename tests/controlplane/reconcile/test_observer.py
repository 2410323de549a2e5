"""The board: facts with ages; silence is not the same as having nothing to say."""

from dataclasses import replace

from canary.errors import ExternalError, Unavailable
from canary.snapshot import FingerprintStatus, PodCounters, VariantStatus
from canary.staleness import STALE_INTERVALS
from controlplane.reconcile.observer import SILENT_S
from tests.controlplane.reconcile.desk import Desk


async def test_one_missing_answer_is_not_blindness_but_several_are() -> None:
    """A hiccup of the source freezes nothing."""
    desk = Desk()
    board = desk.reconciler.board
    await board.look_at_evidence()
    desk.metrics.failure = Unavailable("connection refused")
    limit = max(STALE_INTERVALS * board.scrape_interval, SILENT_S)
    began, late = desk.clock.time, 0.0
    while late <= limit:
        desk.clock.time += board.scrape_interval
        await board.look_at_evidence()
        late = desk.clock.time - began
        assert board.seen().evidence.up == (late < limit)
    assert board.seen().evidence.problem == "connection refused"


async def test_with_scrapes_of_half_a_minute_it_takes_three_of_them() -> None:
    desk = Desk()
    board = desk.reconciler.board
    board.scrape_interval = 30.0
    await board.look_at_evidence()
    desk.metrics.failure = Unavailable("connection refused")
    for number in range(1, STALE_INTERVALS + 1):
        desk.clock.time += 30
        await board.look_at_evidence()
        assert board.seen().evidence.up == (number < STALE_INTERVALS)


async def test_a_source_that_answers_without_numbers_is_up() -> None:
    """Missing data is for the judge to say; only silence blinds."""
    desk = Desk()
    board = desk.reconciler.board
    desk.metrics.failure = ExternalError("no sample is young enough")
    for _ in range(10):
        desk.clock.time += board.scrape_interval
        await board.look_at_evidence()
    assert board.seen().evidence.up
    assert board.seen().evidence.problem == "no sample is young enough"


async def test_the_last_totals_stay_while_the_source_is_silent() -> None:
    """They only grow old."""
    desk = Desk()
    board = desk.reconciler.board
    desk.metrics.put("canary", "canary-0", PodCounters(requests=7.0))
    await board.look_at_evidence()
    desk.metrics.failure = Unavailable("connection refused")
    await board.look_at_evidence()
    counters = board.seen().evidence.counters
    assert counters is not None
    assert counters.arms["canary"]["canary-0"].requests == 7.0


async def test_before_the_first_look_nothing_is_ready() -> None:
    """An unknown world is not a healthy one."""
    seen = Desk().reconciler.board.seen()
    assert not seen.stable.usable
    assert not seen.canary.usable
    assert seen.route.weights is None


class Told:
    """Says what both variants are, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: ExternalError | None = Unavailable("no answer")

    async def compare(self) -> FingerprintStatus:
        self.asked += 1
        if self.failure:
            raise self.failure
        return FingerprintStatus(0.0, 0.0, done=True, known=("tokenizer",))


async def test_the_variants_are_asked_what_they_are_once_both_are_ready_until_they_have_told() -> None:
    """An answer that does not come is open, since the first time that it was asked for; a whole one is kept."""
    desk, told = Desk(), Told()
    board = desk.reconciler.board
    board.ports = replace(board.ports, identity=told)
    board.variants = {"stable": VariantStatus(at=0.0, ready=1), "canary": VariantStatus(at=0.0, ready=0)}
    await board.look_at_fingerprint()
    assert told.asked == 0
    board.variants = {**board.variants, "canary": VariantStatus(at=0.0, ready=1)}
    began = desk.clock.time
    for _ in range(2):
        await board.look_at_fingerprint()
        desk.clock.time += 5
    seen = board.seen().fingerprint
    assert seen is not None
    assert (seen.done, seen.since, seen.problem) == (False, began, "no answer")
    told.failure = None
    for _ in range(2):
        await board.look_at_fingerprint()
    seen = board.seen().fingerprint
    assert seen is not None
    assert (seen.done, seen.since, seen.known, told.asked) == (True, began, ("tokenizer",), 3)


async def test_a_world_in_which_nobody_asks_waits_for_no_answer() -> None:
    board = Desk().reconciler.board
    await board.look_at_fingerprint()
    assert board.seen().fingerprint is None
