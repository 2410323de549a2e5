"""A model server that does what real ones do and the sample server does not: run as a program, its port first.

    rude_server.py PORT [--until FILE] [--status N] [--silent-after N] [--stream TEXT]

A POST streams tokens until FILE exists, and is cut off by SIGTERM, as vLLM's are. `--status` answers every POST with
that status; `--silent-after` sends the headers of a stream and nothing more from the Nth POST on, with `/health` at 200
all the while, as vLLM does when its engine stands. `--stream` ends every stream at once with that text, or with none.
"""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def main() -> None:
    """Serve until told to stop, and then stop at once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--until", type=Path, default=None)
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--silent-after", type=int, default=10**9)
    parser.add_argument("--stream", default="[END]")
    options = parser.parse_args()
    text = options.stream.encode()
    end = (b"%x\r\n%s\r\n" % (len(text), text) if text else b"") + b"0\r\n\r\n"
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-l")]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                if not head.startswith(b"POST"):
                    writer.write(b"HTTP/1.1 %d .\r\ncontent-length: 0\r\n\r\n" % (200 if b" /health " in head else 404))
                    continue
                asked += 1
                if options.status != 200:
                    writer.write(b"HTTP/1.1 %d .\r\ncontent-length: 0\r\n\r\n" % options.status)
                    continue
                writer.write(STREAM)
                if asked >= options.silent_after:
                    await asyncio.Event().wait()
                while options.until and not options.until.exists():
                    writer.write(b"6\r\ntoken \r\n")
                    await writer.drain()
                    await asyncio.sleep(0.02)
                writer.write(end)
                await writer.drain()
        writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(answer, "127.0.0.1", options.port)
    await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
