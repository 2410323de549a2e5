"""A server that behaves as it is told, for the tests of processes: run as a program, with its port as first argument.

    small_server.py PORT [--slow SECONDS] [--crash WORDS] [--deaf] [--unready-while FILE] [--finish SECONDS]
                         [--says WORD]

`--slow` waits before it listens; `--crash` says the words and exits with status 3; `--deaf` ignores SIGTERM;
`--unready-while` answers 503 while the file exists; `--finish` takes so long to answer `/work`, and on SIGTERM finishes
what it has begun before it exits; `--says` is the answer to every other question.
"""

import argparse
import http.server
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--crash", default="")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--unready-while", type=Path, default=None)
    parser.add_argument("--finish", type=float, default=0.0)
    parser.add_argument("--says", default="ok")
    options = parser.parse_args()
    if options.crash:
        sys.stderr.write(f"{options.crash}\n")
        sys.exit(3)
    time.sleep(options.slow)
    server = Server(("127.0.0.1", options.port), handler(options))
    stop = signal.SIG_IGN if options.deaf else lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.02)
    server.server_close()


class Server(http.server.ThreadingHTTPServer):
    """Waits for its open requests when it is closed."""

    daemon_threads = False
    block_on_close = True


def handler(options: argparse.Namespace) -> type[http.server.BaseHTTPRequestHandler]:
    """Answers 200, or 503 where it was told so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            unready = options.unready_while and options.unready_while.exists()
            if self.path == "/work":
                time.sleep(options.finish)
            body = options.says.encode()
            self.send_response(503 if unready and self.path == "/health" else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


if __name__ == "__main__":
    main()
