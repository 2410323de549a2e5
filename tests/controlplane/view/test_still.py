"""A picture that is printed once carries nothing that only a terminal understands."""

from controlplane.view.model import picture
from controlplane.view.still import bare, still
from tests.controlplane.view.scenes import analyzing, plan


def test_without_a_terminal_it_is_plain_lines_with_the_hint_and_nothing_behind_them() -> None:
    rollout, seen, now = analyzing()
    lines = still(picture(plan(), rollout, seen, now), "stop: Ctrl-C")
    assert any("stop: Ctrl-C" in line for line in lines)
    assert all(line == line.rstrip() and "\x1b" not in line for line in lines)


def test_for_a_file_it_is_the_same_picture_without_a_hint() -> None:
    rollout, seen, now = analyzing()
    shown = picture(plan(), rollout, seen, now)
    assert [line.rstrip() for line in bare(shown).splitlines()] == still(shown)
