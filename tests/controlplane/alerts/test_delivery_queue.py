"""What a channel is sent next: newest state a key, patience with outages, and no more than people can bear."""

from dataclasses import replace

import pytest

from canary.alert import AlertNotice
from controlplane.alerts.delivery_queue import AFTER_REFUSAL, LONGEST_RETRY, SOON, WORTH_TELLING, Cap, Queue
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN


def a_queue(*, keyed: bool = False, repeats: float | None = None, cap: Cap | None = None) -> Queue:
    """A queue in which chance always takes the longest wait."""
    return Queue(keyed, repeats, lambda: 1.0, cap or Cap())


def several(count: int, like: AlertNotice = BLIND) -> list[AlertNotice]:
    """Alerts of as many rollouts."""
    return [
        replace(like, rollout=f"m{each}", key=f"m{each}/1/{like.kind}", id=f"m{each}/1/7/{like.kind}")
        for each in range(count)
    ]


def deliver_all(queue: Queue, now: float) -> list[AlertNotice]:
    """Everything that goes out at this moment."""
    sent = []
    while letter := queue.next(now):
        queue.delivered(letter, now)
        sent.append(letter.alert)
    return sent


def test_alerts_go_out_in_the_order_of_their_coming() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    queue.put(replace(BLIND, key="other"), 0.0)
    assert [alert.key for alert in deliver_all(queue, 0.0)] == [BLIND.key, "other"]
    assert queue.next(0.0) is None
    assert queue.waiting == []
    assert queue.wake_at(0.0) == float("inf")


def test_what_is_critical_goes_first() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    queue.put(ROLLED_BACK, 0.0)
    assert [alert.kind for alert in deliver_all(queue, 0.0)] == ["rolledBack", "blind"]


def test_a_decision_waits_a_moment_and_its_completion_takes_its_place() -> None:
    queue = a_queue()
    queue.put(replace(ROLLED_BACK, complete=False, number=18), 0.0)
    assert queue.next(0.0) is None
    assert queue.wake_at(0.0) == SOON
    queue.put(ROLLED_BACK, 0.1)
    assert deliver_all(queue, 0.1) == [ROLLED_BACK]


def test_a_decision_goes_out_alone_when_nothing_completes_it() -> None:
    """The traffic does not come back: somebody has to know."""
    queue = a_queue()
    queue.put(replace(ROLLED_BACK, complete=False), 0.0)
    assert len(deliver_all(queue, SOON)) == 1


def test_what_is_over_before_it_could_be_told_is_not_told() -> None:
    queue = a_queue()
    queue.failed(0.0)
    queue.put(BLIND, 0.0)
    queue.put(SEES_AGAIN, 0.5)
    assert queue.waiting == []


def test_what_was_tried_gets_its_end() -> None:
    """The receiver may have taken it before it hung up."""
    queue = a_queue()
    queue.put(BLIND, 0.0)
    assert queue.next(0.0) is not None
    queue.failed(0.0)
    queue.put(SEES_AGAIN, 0.5)
    assert deliver_all(queue, 100.0) == [SEES_AGAIN]


def test_a_receiver_that_knows_keys_gets_every_end() -> None:
    """It may have the fact from an earlier start; an end of nothing does no harm there."""
    queue = a_queue(keyed=True)
    queue.failed(0.0)
    queue.put(BLIND, 0.0)
    queue.put(SEES_AGAIN, 0.5)
    assert deliver_all(queue, 100.0) == [SEES_AGAIN]


def test_an_end_that_comes_while_its_fact_is_sent_is_sent_after_it() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    letter = queue.next(0.0)
    assert letter is not None
    queue.put(SEES_AGAIN, 0.1)
    queue.delivered(letter, 0.2)
    assert deliver_all(queue, 0.2) == [SEES_AGAIN]


def test_an_outage_is_tried_again_ever_more_slowly() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    now, waits = 0.0, []
    for _ in range(9):
        assert queue.next(now) is not None
        queue.failed(now)
        assert queue.next(now) is None
        waits.append(queue.wake_at(now) - now)
        now = queue.wake_at(now)
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
    assert deliver_all(queue, now) == [BLIND]
    assert queue.failures == 0


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_half_of_a_wait_is_left_to_chance(chance: float, wait: float) -> None:
    queue = Queue(keyed=False, repeats=None, chance=lambda: chance)
    queue.put(BLIND, 0.0)
    queue.failed(0.0)
    assert queue.wake_at(0.0) == wait


def test_a_receiver_that_says_how_long_to_wait_is_obeyed() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    queue.failed(0.0, wait=17)
    assert queue.wake_at(0.0) == 17


def test_a_retry_is_the_same_alert() -> None:
    queue = a_queue(keyed=True)
    queue.put(BLIND, 0.0)
    first = queue.next(0.0)
    queue.failed(0.0)
    second = queue.next(100.0)
    assert first is not None
    assert second is not None
    assert (first.alert.id, first.alert.key) == (second.alert.id, second.alert.key)


def test_a_refused_alert_does_not_hold_up_the_others() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0)
    queue.put(replace(BLIND, key="other"), 0.0)
    letter = queue.next(0.0)
    assert letter is not None
    queue.refused(letter, 0.0)
    assert [alert.key for alert in deliver_all(queue, 0.0)] == ["other"]
    assert queue.wake_at(0.0) == AFTER_REFUSAL
    assert deliver_all(queue, AFTER_REFUSAL) == [BLIND]


def test_old_news_is_given_up() -> None:
    queue = a_queue()
    queue.put(BLIND, 0.0, age=10.0)
    assert queue.expired(WORTH_TELLING - 11) == []
    assert queue.expired(WORTH_TELLING - 10) == [BLIND]
    assert queue.waiting == []


def test_people_get_at_most_so_many_messages_and_the_last_one_is_a_summary() -> None:
    queue = a_queue(cap=Cap(3, 60.0))
    for alert in several(30):
        queue.put(alert, 0.0)
    sent = deliver_all(queue, 0.0)
    assert [alert.kind for alert in sent] == ["blind", "blind", "summary"]
    assert sent[-1].sentence.startswith("28 alerts came faster")
    assert ("warning", "m2 is blind: its metrics are silent") in sent[-1].facts
    assert sent[-1].facts[-1] == ("and", "8 more")
    assert queue.waiting == []


def test_what_comes_beyond_the_cap_waits_and_is_told_in_one_message() -> None:
    queue = a_queue(cap=Cap(2, 60.0))
    sent = []
    for second, alert in enumerate(several(10)):
        queue.put(alert, float(second))
        sent += deliver_all(queue, float(second))
    assert [alert.kind for alert in sent] == ["blind", "blind"]
    assert queue.wake_at(10.0) == 60.0
    (rest,) = deliver_all(queue, 60.0)
    assert rest.sentence.startswith("8 alerts")


def test_what_is_critical_is_counted_apart() -> None:
    """However much noise there is, a rollback is told at once."""
    queue = a_queue(cap=Cap(2, 60.0))
    for alert in several(10):
        queue.put(alert, 0.0)
    deliver_all(queue, 0.0)
    queue.put(ROLLED_BACK, 1.0)
    assert deliver_all(queue, 1.0) == [ROLLED_BACK]


def test_a_flood_of_critical_alerts_is_critical_and_capped_as_well() -> None:
    queue = a_queue(cap=Cap(2, 60.0))
    for alert in several(9, ROLLED_BACK):
        queue.put(alert, 0.0)
    first, rest = deliver_all(queue, 0.0)
    assert (first.kind, rest.kind, rest.severity) == ("rolledBack", "summary", "critical")
    queue.put(ROLLED_BACK, 1.0)
    assert deliver_all(queue, 1.0) == []
    assert deliver_all(queue, 60.0) == [ROLLED_BACK]


def test_a_summary_that_does_not_arrive_is_made_again() -> None:
    queue = a_queue(cap=Cap(1, 60.0))
    for alert in several(3):
        queue.put(alert, 0.0)
    first = queue.next(0.0)
    assert first is not None
    queue.failed(0.0)
    assert len(queue.waiting) == 3
    (again,) = deliver_all(queue, 10.0)
    assert again == first.alert
    assert queue.waiting == []


def test_receivers_that_know_keys_get_no_summary_but_are_not_flooded() -> None:
    queue = a_queue(keyed=True, cap=Cap(2, 60.0))
    for alert in several(5):
        queue.put(alert, 0.0)
    assert [alert.rollout for alert in deliver_all(queue, 0.0)] == ["m0", "m1"]
    assert [alert.rollout for alert in deliver_all(queue, 60.0)] == ["m2", "m3"]


def test_what_stands_is_repeated_where_receivers_forget() -> None:
    queue = a_queue(keyed=True, repeats=60.0)
    queue.put(BLIND, 0.0)
    assert deliver_all(queue, 0.0) == [BLIND]
    assert queue.waiting == []  # nobody has to wait for a repetition
    assert queue.wake_at(1.0) == 60.0
    assert deliver_all(queue, 60.0) == [BLIND]
    queue.put(SEES_AGAIN, 70.0)
    assert deliver_all(queue, 70.0) == [SEES_AGAIN]
    assert queue.wake_at(71.0) == float("inf")


def test_what_happened_once_is_not_repeated() -> None:
    queue = a_queue(keyed=True, repeats=60.0)
    queue.put(ROLLED_BACK, 0.0)
    deliver_all(queue, 0.0)
    assert queue.wake_at(1.0) == float("inf")


def test_repetitions_are_no_messages_that_the_cap_counts() -> None:
    queue = a_queue(keyed=True, repeats=1.0, cap=Cap(2, 600.0))
    queue.put(BLIND, 0.0)
    for second in range(50):
        deliver_all(queue, float(second))
    queue.put(SEES_AGAIN, 50.0)
    assert deliver_all(queue, 50.0) == [SEES_AGAIN]
