"""Appends lines to a stream for as long as somebody takes them.

Used by the views that print lines and by the commands around them. A reader who leaves (`… | head`) or a full disk must
never stop a rollout: from then on the lines go nowhere, and everything else goes on.
"""

import io
import os
from contextlib import suppress
from typing import TextIO


class LineWriter:
    """Writes each line at once; letters that the stream cannot write become `?`."""

    def __init__(self, stream: TextIO) -> None:
        self.encoding = stream.encoding or "utf-8"
        self._stream = stream

    def write(self, line: str) -> None:
        """Append a line."""
        writable = line.encode(self.encoding, "replace").decode(self.encoding)
        try:
            self._stream.write(f"{writable}\n")
            self._stream.flush()
        except OSError:
            self._go_nowhere()

    def _go_nowhere(self) -> None:
        """What is still buffered goes nowhere too; otherwise the interpreter complains about it when it leaves."""
        with suppress(OSError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
