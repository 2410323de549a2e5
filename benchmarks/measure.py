"""How right `serinus profile measure` is: against servers of exactly known speeds, at 1, 8 and 64 streams.

    python benchmarks/measure.py            # our own paced server, 1 s / 100 ms and 100 ms / 10 ms
    python benchmarks/measure.py --sample   # the sample server of the demo

The paced server sends every token at a time that was fixed when the request came, so that a late wake-up is not
carried on, and writes down when it really sent. Two errors are printed: against the nominal speed, and against the
server's own book (which takes out how late the operating system woke it). The aim is 3 % on both TTFT and ITL.
Results depend on the load of the machine, which is printed: client and server share its cores with whatever else runs.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
SPEEDS = ((1.0, 0.1, 16), (0.1, 0.01, 32))
"""Seconds to the first token and between tokens, and tokens of an answer."""
LEVELS = (1, 8, 64)
Speed = tuple[float, float, int]


def warmup(speed: Speed) -> float:
    """Seconds before counting: callers begin spread over the first half of it."""
    return max(1.5, 3 * speed[0])


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text: str) -> bytes:
    """One event as one chunk."""
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


TOKEN = chunk(json.dumps({"choices": [{"delta": {"content": "word "}}]}))


def end(tokens: int) -> bytes:
    """What follows the last token."""
    usage = chunk(json.dumps({"choices": [], "usage": {"completion_tokens": tokens, "prompt_tokens": 100}}))
    return usage + chunk("[DONE]") + b"0\r\n\r\n"


class Paced(asyncio.Protocol):
    """Answers every chat request at the nominal speed and keeps book of what it really did."""

    def __init__(self, book: list[tuple[float, float, float]], speed: Speed) -> None:
        self._book = book
        self._ttft, self._itl, self._tokens = speed
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self._came = 0.0
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A request, as soon as it is whole."""
        came = self._loop.time()
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._came = came
        self._loop.call_at(came + self._ttft, self._token, 0)

    def _token(self, index: int) -> None:
        """Send one token and plan the next from the beginning, never from now."""
        now = self._loop.time()
        if self._transport is None or self._transport.is_closing():
            return
        if index == 0:
            self._first = now
            self._transport.write(HEAD + TOKEN)
        elif index < self._tokens - 1:
            self._transport.write(TOKEN)
        else:
            self._transport.write(TOKEN + end(self._tokens))
            self._book.append((self._came, self._first, now))
            return
        self._loop.call_at(self._came + self._ttft + (index + 1) * self._itl, self._token, index + 1)


async def serve(out: Path, speed: Speed) -> None:
    """Serve until terminated; the book is written to `out` line by line."""
    book: list[tuple[float, float, float]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Paced(book, speed), "127.0.0.1", 0)
    print(f"paced at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    with out.open("w", encoding="utf-8") as file:
        while True:
            await asyncio.sleep(0.5)
            while book:
                file.write(json.dumps(book.pop(0)) + "\n")
            file.flush()


def measured(url: str, streams: int, seconds: float, speed: Speed) -> dict[str, float]:
    """What the tool says at so many streams."""
    load = ["--concurrency", str(streams), "--seconds", str(seconds), "--warmup", str(warmup(speed))]
    shape = ["--input-tokens", "100", "--output-tokens", str(speed[2]), "--model", "sample-llm"]
    command = [sys.executable, "-m", "controlplane.cli.main", "profile", "measure", "--url", f"{url}/v1", *load, *shape]
    found = subprocess.run([*command, "-o", "json"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.stderr)
    level = json.loads(found.stdout)["levels"][0]
    return {"ttft": level["ttft"]["value"], "itl": level["itl"]["value"], "answers": level["completed"]}


def booked(out: Path, since: float, tokens: int) -> dict[str, float] | None:
    """The server's own averages of answers that began after `since`."""
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []
    rows = [row for row in lines if row[0] >= since]
    if not rows:
        return None
    return {
        "ttft": sum(first - came for came, first, _ in rows) / len(rows),
        "itl": sum((last - first) / (tokens - 1) for _, first, last in rows) / len(rows),
    }


def counted(url: str) -> dict[str, float]:
    """The sample server's own sums and counts so far, from its metrics page."""
    with urlopen(f"{url}/metrics") as page:  # noqa: S310 - the server that was started here
        lines = [line.decode() for line in page if not line.startswith(b"#")]
    samples = (line.rsplit(" ", 1) for line in lines)
    return {name.partition("{")[0]: float(value) for name, value in samples if "_bucket" not in name}


def means(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Seconds on average between two looks, warm-up included."""
    names = {"ttft": "vllm:time_to_first_token_seconds", "itl": "vllm:inter_token_latency_seconds"}
    return {
        key: (after[f"{name}_sum"] - before[f"{name}_sum"]) / (after[f"{name}_count"] - before[f"{name}_count"])
        for key, name in names.items()
    }


def table(speed: Speed, seconds: float, *, sample: bool) -> None:
    """Start a server of this speed, measure it at every level, print the errors."""
    ttft, itl, tokens = speed
    out = Path(tempfile.mkdtemp()) / "book.jsonl"
    flags = ["--ttft", str(ttft), "--itl", str(itl), "--tokens", str(tokens)]
    demo = [sys.executable, "-m", "controlplane.sample.server", "--port", "0", *flags, "--jitter", "0"]
    command = demo if sample else [sys.executable, __file__, "--serve", str(out), *flags]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline() if server.stdout else ""
        url = line.split(" at ")[1].strip()
        print(f"{ttft:g} s to the first token, {itl * 1e3:g} ms between tokens")
        print("streams  answers   TTFT ms  nominal     book     ITL ms  nominal     book  load  client")
        for streams in LEVELS:
            begun = time.monotonic() + warmup(speed)
            before = counted(url) if sample else {}
            used = os.times()
            found = measured(url, streams, seconds, speed)
            share = (sum(os.times()[2:4]) - sum(used[2:4])) / (os.times().elapsed - used.elapsed)
            time.sleep(0.7)
            book = means(before, counted(url)) if sample else booked(out, begun, tokens)
            errors = [found["ttft"] / ttft - 1, found["itl"] / itl - 1]
            own = [found[key] / book[key] - 1 for key in ("ttft", "itl")] if book else [float("nan")] * 2
            print(
                f"{streams:>7}{found['answers']:>9.0f}{found['ttft'] * 1e3:>10.2f}{errors[0]:>9.2%}{own[0]:>9.2%}"
                f"{found['itl'] * 1e3:>11.3f}{errors[1]:>9.2%}{own[1]:>9.2%}{os.getloadavg()[0]:>6.1f}{share:>8.0%}",
                flush=True,
            )
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Print a table for each speed."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--sample", action="store_true", help="measure the demo's sample server instead")
    options.add_argument("--seconds", type=float, default=8.0, help="counted seconds a level (default 8)")
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    for name, kind in (("ttft", float), ("itl", float), ("tokens", int)):
        options.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(chosen.serve, (chosen.ttft, chosen.itl, chosen.tokens)))
        return
    for speed in SPEEDS:
        table(speed, chosen.seconds, sample=chosen.sample)


if __name__ == "__main__":
    main()
