"""Frames between two saves: bounded, and honest about what is missing."""

from canary.frame import Begun, Restated
from controlplane.adapters import pending_frames
from controlplane.adapters.pending_frames import PendingFrames
from tests.canary.rollouts import a_rollout

FRAME = Begun(0.0, "chat", "r1", 1, "{}")


def test_while_nothing_can_be_saved_only_so_many_wait() -> None:
    """Then the next save restates, and recording goes on."""
    pending = PendingFrames()
    for _ in range(pending_frames.MOST + 10):
        pending.record(FRAME)
    (restated,) = pending.take(a_rollout())
    assert isinstance(restated, Restated)
    pending.record(FRAME)
    assert pending.take(a_rollout()) == (FRAME,)
    assert pending.take(a_rollout()) == ()


def test_a_restatement_that_could_not_be_written_is_made_again() -> None:
    pending = PendingFrames()
    pending.break_off()
    pending.put_back(pending.take(a_rollout()))
    pending.record(FRAME)
    (restated,) = pending.take(a_rollout())
    assert isinstance(restated, Restated)


def test_what_is_forgotten_is_as_if_the_process_had_died() -> None:
    pending = PendingFrames()
    pending.record(FRAME)
    pending.break_off()
    pending.forget()
    assert pending.take(a_rollout()) == ()
