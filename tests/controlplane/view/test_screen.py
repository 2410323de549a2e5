"""What the terminal shows, at several widths, letter by letter. `SERINUS_UPDATE_GOLDEN=1` writes the files anew."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from canary.weights import Arm
from controlplane.view.marks import ASCII, UNICODE, Marks
from controlplane.view.model import picture
from controlplane.view.screen import screen
from tests.controlplane.view.scenes import SCENES, plan

GOLDEN = Path(__file__).parents[2] / "golden"
RATES: dict[Arm, float] = {"stable": 225.0, "canary": 75.3}


def drawn(scene: str, width: int, *, marks: Marks = UNICODE, colour: bool = False) -> str:
    rollout, seen, now = SCENES[scene]()
    shown = picture(plan(), rollout, seen, now, RATES if rollout.peak.canary else None)
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None, _environ={}
    )
    console.print(screen(shown, width, marks, "" if shown.finished else "stop: Ctrl-C, it asks first"))
    return stream.getvalue()


@pytest.mark.parametrize("width", [56, 80, 120])
@pytest.mark.parametrize("scene", SCENES)
def test_the_screen_is_the_one_that_was_looked_at(scene: str, width: int) -> None:
    text = "".join(f"{line.rstrip()}\n" for line in drawn(scene, width).splitlines())
    file = GOLDEN / f"view_{scene}_{width}.txt"
    if os.environ.get("SERINUS_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("width", [30, 40, 56, 60, 79, 80, 99, 120, 200])
@pytest.mark.parametrize("scene", SCENES)
def test_no_line_is_wider_than_the_terminal(scene: str, width: int) -> None:
    assert max(len(line) for line in drawn(scene, width).splitlines()) <= width


def test_without_unicode_every_symbol_is_a_plain_one() -> None:
    """A terminal that writes ASCII gets the same words with other symbols; sentences keep their own letters."""
    text = drawn("analyzing", 120, marks=ASCII)
    assert not set("✔✖◌◑‖█░≤≥") & set(text)
    assert "+ pass" in text


def test_colour_only_underlines_what_words_say() -> None:
    """With the escape sequences taken out, the coloured screen is the plain one."""
    coloured, plain = drawn("rolled_back", 120, colour=True), drawn("rolled_back", 120)
    assert "\x1b[31m" in coloured
    from rich.text import Text

    assert Text.from_ansi(coloured).plain.split() == plain.split()
