"""The live screen: at most five drawings a second, the last one always, and the terminal given back."""

import dataclasses
import io

from rich.console import Console

from canary.weights import ALL_STABLE, Arm
from controlplane.view.terminal import Terminal
from tests.controlplane.view.scenes import analyzing, plan, rolled_back


class Hands:
    """A clock that stands where it is put."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def opened(now: float) -> tuple[Terminal, io.StringIO, Hands]:
    stream, hands = io.StringIO(), Hands(now)
    console = Console(file=stream, force_terminal=True, width=100, height=40, _environ={})
    return Terminal(stream, plan(), now=hands, revision="9f2c", hint="stop: Ctrl-C", console=console), stream, hands


def test_it_draws_at_most_five_times_a_second() -> None:
    rollout, seen, now = analyzing()
    terminal, stream, hands = opened(now)
    for step in range(20):
        hands.now = now + step * 0.05
        terminal.update(rollout, seen)
    assert stream.getvalue().count("stage 2 of 4") == 5
    terminal.close()


def test_the_end_is_drawn_at_once_and_the_cursor_is_given_back() -> None:
    """However soon it follows on another drawing."""
    rollout, seen, now = analyzing()
    terminal, stream, _ = opened(now)
    terminal.update(rollout, seen)
    ended, world, _ = rolled_back()
    terminal.update(ended, world)
    terminal.close()
    terminal.close()
    text = stream.getvalue()
    assert "rolled back" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_another_plans_last_moments_are_not_drawn_with_this_plans_names() -> None:
    rollout, seen, now = analyzing()
    terminal, stream, _ = opened(now)
    terminal.update(dataclasses.replace(rollout, revision="older", stage=9, weights=ALL_STABLE), seen)
    terminal.close()
    assert stream.getvalue() == ""


def test_a_sentence_stands_above_the_screen() -> None:
    rollout, seen, now = analyzing()
    terminal, stream, _ = opened(now)
    terminal.update(rollout, seen)
    terminal.say("Envoy was started \x1b[2Jagain.")
    terminal.close()
    assert "Envoy was started again." in stream.getvalue()


def test_no_color_is_honoured() -> None:
    """Symbols and words are the same, the colours are gone."""
    stream, (ended, world, now) = io.StringIO(), rolled_back()
    console = Console(file=stream, force_terminal=True, width=100, height=40, _environ={"NO_COLOR": "1"})
    terminal = Terminal(stream, plan(), now=Hands(now), console=console)
    terminal.update(ended, world)
    terminal.close()
    assert "✖ fail" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()


def test_whoever_was_told_the_rates_need_not_work_them_out() -> None:
    """A viewer in another process has no totals, only what the rollout's own process made of them."""
    rollout, seen, now = analyzing()
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, height=40, _environ={})
    told: dict[Arm, float] = {"stable": 77.0, "canary": 11.0}
    terminal = Terminal(stream, plan(), now=Hands(now), console=console, rates=lambda _totals: told)
    terminal.update(rollout, seen)
    terminal.close()
    assert "77 req/s" in stream.getvalue()
    assert "11 req/s" in stream.getvalue()
