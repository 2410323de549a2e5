"""A model server whose event loop stands still while it works, as that of a busy engine does: run as a program.

    busy_server.py PORT NAME

Every request but `/health` blocks the loop for a fifth of a second before it is answered with the name. So the answer
to a probe waits for all that came before it.
"""

import asyncio
import sys
import time

BLOCKED_S = 0.2


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests of one connection, one after the other."""
    name = sys.argv[2].encode()
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" /health " not in head:
                time.sleep(BLOCKED_S)  # noqa: ASYNC251 - this is the fault
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
