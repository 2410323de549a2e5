"""The view that fits the output is opened, and events told again are known."""

import io
from dataclasses import replace

from controlplane.view.jsonl import JsonLines
from controlplane.view.plain import PlainLines
from controlplane.view.terminal import Terminal
from controlplane.view.watcher import Once, open_watcher
from tests.controlplane.view.scenes import analyzing, plan


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_output_decides_which_view_it_is() -> None:
    assert isinstance(open_watcher("text", Screen(), plan(), now=lambda: 0.0), Terminal)
    assert isinstance(open_watcher("text", io.StringIO(), plan(), now=lambda: 0.0), PlainLines)
    assert isinstance(open_watcher("json", Screen(), plan(), now=lambda: 0.0), JsonLines)


def test_an_event_is_new_once_and_a_new_attempt_begins_anew() -> None:
    rollout, _, _ = analyzing()
    once = Once()
    assert [once.is_new(event) for event in rollout.history] == [True] * 6
    assert [once.is_new(event) for event in rollout.history] == [False] * 6
    assert once.is_new(replace(rollout.history[0], id="support-llm/4/1"))
