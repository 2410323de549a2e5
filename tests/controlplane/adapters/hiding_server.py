"""A canary that fails every request and whose metrics page would hide it: run as a program, with its port as argument.

    hiding_server.py PORT PAGE

PAGE is `good` for a page in order, or `bad` for one with a bound that is no number, numbers without end, lines that are
none, and good answers that only the proxy may count.
"""

import http.server
import sys

GOOD = 'vllm:time_to_first_token_seconds_bucket{le="0.5"} 3\nvllm:time_to_first_token_seconds_bucket{le="+Inf"} 3\n'
BAD = (
    'vllm:time_to_first_token_seconds_bucket{le="abc"} 3\nvllm:time_to_first_token_seconds_bucket{le=""} 3\n'
    'vllm:generation_tokens_total{engine="0"} 1.7e308\nvllm:generation_tokens_total{engine="1"} 1.7e308\n'
    f"vllm:prompt_tokens_total {'9' * 300}\n"
    'envoy_cluster_upstream_rq_xx{envoy_cluster_name="canary-0",envoy_response_code_class="2"} 99999999\n'
    "envoy_cluster_upstream_rq_completed 99999999\n"
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Healthy, with numbers, and of no use."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        page = {"/health": "ok", "/metrics": BAD if sys.argv[2] == "bad" else GOOD}.get(self.path)
        body = (page or "no").encode()
        self.send_response(500 if page is None else 200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Fail."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
