"""The live screen: redraws the picture in place, at most five times a second, and leaves the last one standing.

Used by the commands on a terminal. What is drawn stands in `screen.py`.
"""

from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from canary.rollout import Event, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from controlplane.view.marks import marks_for
from controlplane.view.model import Picture, picture
from controlplane.view.pace import Rates, RefreshPace
from controlplane.view.screen import screen
from controlplane.view.text import clean

REDRAW_SECONDS = 0.2


class Terminal:
    """Draws one rollout in place. NO_COLOR and the terminal's width are honoured at every redraw."""

    def __init__(
        self,
        stream: TextIO,
        spec: CanarySpec,
        *,
        now: Callable[[], float],
        revision: str = "",
        hint: str = "",
        console: Console | None = None,
        of_record: bool = False,
        rates: Rates | None = None,
    ) -> None:
        self._console = console or Console(file=stream, highlight=False)
        self._marks = marks_for(self._console.encoding)
        self._spec = spec
        self._now = now
        self._revision = revision
        self._hint = hint
        self._of_record = of_record
        self._rates = rates or RefreshPace().take
        self._live: Live | None = None
        self._drawn_at = float("-inf")
        self._picture: Picture | None = None

    def event(self, event: Event) -> None:
        """Events are in the picture already."""

    def update(self, rollout: Rollout, seen: Snapshot) -> None:
        """Draw, unless the last drawing is too fresh."""
        if self._revision and rollout.revision != self._revision:
            return
        now = self._now()
        rates = self._rates(seen.evidence.counters)
        self._picture = picture(self._spec, rollout, seen, now, rates, of_record=self._of_record)
        if now - self._drawn_at >= REDRAW_SECONDS or self._picture.finished:
            self._drawn_at = now
            self._draw()

    def say(self, sentence: str) -> None:
        """A line above the screen."""
        self._console.print(Text(clean(sentence)))

    def close(self) -> None:
        """Draw the last picture and give the terminal back."""
        self._draw()
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._picture = None

    def _draw(self) -> None:
        if self._picture is None:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        hint = "" if self._picture.finished else self._hint
        self._live.update(screen(self._picture, self._console.width, self._marks, hint), refresh=True)
