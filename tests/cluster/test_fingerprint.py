"""The operator asks real pods what they are, before the canary gets any traffic."""

from pathlib import Path

from tests.cluster.bed import Node, until
from tests.cluster.test_operator import a_canary, apply, operator, status


def test_the_pods_of_both_variants_are_asked_and_agree(node: Node, namespace: str, tmp_path: Path) -> None:
    """The sample server tells its context length and nothing else: that much is compared, and the rest is said."""
    plan = a_canary(
        namespace, fingerprint={"policy": "block"}, stages=[{"traffic": "5%", "hold": "1h"}, {"traffic": "100%"}]
    )
    with operator(node, namespace, tmp_path) as replica:
        apply(node, plan)
        until("traffic for the canary", lambda: status(node, namespace).get("weight") == "5 %", seconds=240)
    (told,) = [each for each in replica.said if "fingerprints" in each]
    assert "Their fingerprints agree (context length); tokenizer, chat template" in told
