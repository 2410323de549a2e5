"""Garbage is collected when the operator says so, and Python's own ways come back with its end."""

import gc

from controlplane.operator.sweeping import THOROUGH_EVERY, swept


class Knot:
    """Refers to itself: only a search for garbage finds it."""

    def __init__(self) -> None:
        self.myself = self


def knots() -> int:
    return sum(type(each) is Knot for each in gc.get_objects())


def test_making_thousands_of_objects_collects_nothing_until_it_is_said() -> None:
    with swept() as sweep:
        sweep()
        for _ in range(5000):
            Knot()
        assert knots() == 5000
        sweep()
        assert knots() == 0


def test_now_and_then_the_old_are_looked_through_as_well() -> None:
    with swept() as sweep:
        old = Knot()
        gc.collect()
        del old
        sweep()
        assert knots() == 1
        for _ in range(THOROUGH_EVERY):
            sweep()
        assert knots() == 0


def test_afterwards_python_collects_as_before() -> None:
    before = gc.get_threshold()
    with swept():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
