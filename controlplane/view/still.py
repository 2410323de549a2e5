"""One picture of a rollout, printed once: what `get` shows without `-w`, and what stands at the head of a report.

Called by the verbs of a laptop and of a cluster. The live screen is `terminal.py`.
"""

import sys
from io import StringIO

from rich.console import Console

from controlplane.view.marks import marks_for
from controlplane.view.model import Picture
from controlplane.view.screen import screen

WIDTH = 110
"""Columns where there is no terminal to ask."""


def still(shown: Picture, hint: str = "") -> list[str]:
    """The screen as lines for standard output: with colours on a terminal, bare elsewhere. `hint`: what is next."""
    on_terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if on_terminal else WIDTH)
    with console.capture() as drawn:
        console.print(screen(shown, console.width, marks_for(console.encoding), hint))
    return [line if on_terminal else line.rstrip() for line in drawn.get().splitlines()]


def bare(shown: Picture) -> str:
    """The screen as text for a file: no colours, whatever the terminal."""
    out = StringIO()
    marks = marks_for(sys.stdout.encoding)
    Console(file=out, width=WIDTH, highlight=False, color_system=None).print(screen(shown, WIDTH, marks))
    return out.getvalue()
