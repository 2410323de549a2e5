"""Steady traffic through a gateway, with every single request on record.

`Load` runs the test bed's small load program beside a test, which meanwhile shifts traffic or breaks things; its
`hits` then say when each request began and ended, who answered and what went wrong. It changes nothing itself.
"""

import json
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self


class Hit(NamedTuple):
    """One request."""

    began: float
    """Seconds since the epoch."""
    ended: float
    status: int
    """0 when there was no answer at all."""
    server: str
    """Who answered, by its `x-served-by`; empty when nobody said."""
    failure: str
    """What went wrong; empty when nothing did."""


class Load:
    """`with node.load("chat.example.com", rate=500) as load: …`; afterwards `load.hits` has every request.

    `rate` is requests per second, 0 as many as `workers` can; `requests` ends it after so many, else the block's end
    does. `body` is the JSON sent to each; `ends` is how a whole answer must end (`[DONE]` for a stream).
    """

    def __init__(
        self,
        *,
        program: Path,
        url: str,
        host: str,
        rate: float = 0,
        requests: int = 0,
        workers: int = 16,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        ends: str = "",
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="serinus-load-")
        self._file = Path(self._folder.name) / "hits"
        asked = {"model": "sim", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1, **(body or {})}
        self._command = [str(program), "-url", url, "-host", host, "-body", json.dumps(asked), "-out", str(self._file)]
        self._command += ["-rate", f"{rate:g}", "-n", str(requests), "-workers", str(workers), "-ends", ends]
        for name, value in (headers or {}).items():
            self._command += ["-header", f"{name}: {value}"]
        self._process: subprocess.Popen[str] | None = None
        self.hits: list[Hit] = []
        """Every request, in the order of their ends; complete when the load has ended."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self._folder.cleanup()

    def wait(self, seconds: float = 300) -> None:
        """Wait until it has sent all its `requests`."""
        self._end(seconds)

    def stop(self) -> None:
        """Send nothing more, and wait for open answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._end(60)

    def answered(self) -> Counter[str]:
        """Good answers by who gave them."""
        return Counter(hit.server for hit in self.hits if not hit.failure)

    def failures(self) -> Counter[str]:
        """Failed requests by what went wrong."""
        return Counter(hit.failure for hit in self.hits if hit.failure)

    def between(self, began: float, ended: float) -> list[Hit]:
        """Requests that began in this span (seconds since the epoch)."""
        return [hit for hit in self.hits if began <= hit.began < ended]

    def _end(self, seconds: float) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"the load did not end within {seconds:g} s") from None
        assert process.returncode == 0, f"the load program failed: {said}"
        lines = self._file.read_text().splitlines()
        self.hits = [_hit(line) for line in lines]


def _hit(line: str) -> Hit:
    began, ended, status, server, failure = line.split("\t")
    return Hit(float(began), float(ended), int(status), server, failure)
