"""Amounts as Kubernetes writes them: `4`, `500m`, `32Gi`, and a thousand as `1k`. Pure.

Used where GPUs are counted. Any pod of a cluster may say any amount, so nothing here raises.
"""

import re

_AMOUNT = re.compile(r"([0-9]{1,15})(?:([kMGTPE])|([KMGTPE])i)?")
_POWERS = "kMGTPE"


def whole(amount: object) -> int:
    """How many of something that comes in whole pieces; 0 for what is no such amount."""
    found = _AMOUNT.fullmatch(str(amount))
    if found is None:
        return 0
    count, decimal, binary = int(found[1]), found[2], found[3]
    power = _POWERS.index((decimal or binary).replace("K", "k")) + 1 if decimal or binary else 0
    return count * int(pow(1024 if binary else 1000, power))
