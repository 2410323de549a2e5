"""Lines reach whoever reads them, and nobody's leaving stops the one who writes."""

import io
import subprocess
import sys

from controlplane.view.lines import LineWriter

WRITER = """
import sys
from controlplane.view.lines import LineWriter
lines = LineWriter(sys.stdout)
for number in range(20_000):
    lines.write(f"line {number}")
print("went on to the end", file=sys.stderr)
"""


def test_a_reader_who_leaves_stops_nothing() -> None:
    """The writer goes on to its end, leaves with exit code 0 and complains about nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        first = writer.stdout.readline()
        writer.stdout.close()
        last = writer.stderr.read()
    assert (first, last) == ("line 0\n", "went on to the end\n")
    assert writer.returncode == 0


def test_letters_that_the_stream_cannot_write_are_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LineWriter(stream).write("5 % → 25 %")
    assert raw.getvalue() == b"5 % ? 25 %\n"
    stream.close()
