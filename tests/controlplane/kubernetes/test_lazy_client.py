"""Of the library `kubernetes` only the asynchronous half is loaded."""

import subprocess
import sys

ASKED = """
import sys
import controlplane.kubernetes.client
assert "kubernetes.aio.client.rest" in sys.modules
unwanted = {"kubernetes.client", "kubernetes.dynamic", "kubernetes.stream", "requests", "oauthlib"}
print(*sorted(unwanted & set(sys.modules)))
import kubernetes.client
print(kubernetes.client.CoreV1Api.__name__)
"""


def test_a_client_loads_nothing_of_the_synchronous_half_and_leaves_it_to_be_loaded_by_others() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["", "CoreV1Api"]
