"""A server that behaves as it is told, for the tests of processes: run as a program, with its port as first argument.

    small_server.py PORT [--closed-while FILE] [--crash WORDS] [--deaf] [--unready-while FILE] [--work FOLDER]
                         [--says WORD]

`--closed-while` does not listen while the file exists; `--crash` says the words and exits with status 3; `--deaf`
ignores SIGTERM; `--unready-while` answers 503 while the file exists; `--says` is the answer to every other question.
`--work` answers `/work` once the folder has a file `finish`, and puts there `begun` when it was asked and `told` when
it got SIGTERM, after which it finishes what it has begun and exits.
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
    parser.add_argument("--closed-while", type=Path, default=None)
    parser.add_argument("--crash", default="")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--unready-while", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--says", default="ok")
    options = parser.parse_args()
    if options.crash:
        sys.stderr.write(f"{options.crash}\n")
        sys.exit(3)
    while options.closed_while and options.closed_while.exists():
        time.sleep(0.01)
    server = Server(("127.0.0.1", options.port), handler(options))

    def stop(*_: object) -> None:
        if options.work:
            (options.work / "told").touch()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, signal.SIG_IGN if options.deaf else stop)
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
                (options.work / "begun").touch()
                while not (options.work / "finish").exists():
                    time.sleep(0.01)
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
