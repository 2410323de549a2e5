"""How much memory the objects of one namespace may take in a cache, and what is kept of those that take more. Pure.

Used by `cache.py` for every kind. Whoever may write to one namespace must not be able to end a process that serves all
of them: a text of a megabyte can be twenty-four as Python keeps it. What is not kept whole is still there, with its
metadata; nothing is asked of the server for it.
"""

from collections import Counter
from itertools import islice

from pydantic_core import to_json

from controlplane.kubernetes.api import Object

MOST_BYTES = 32 * 1024 * 1024
"""Of memory, for all objects of one kind in one namespace: some two hundred rollouts and their pods take a third."""
KEPT = frozenset({"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "finalizers"})
KEPT |= {"deletionTimestamp", "deletionGracePeriodSeconds"}
DOMAIN = "serinus.dev/"
"""Labels and annotations that matter have it in their names."""
MOST_NOTES, LONGEST_NOTE = 20, 1024
"""Of those, so many are kept, and of so many characters."""


def weight(object_: Object) -> int:
    """Bytes that an object takes in memory, near enough and seldom too few, at a tenth of the cost of a walk."""
    text = to_json(object_, bytes_mode="base64", inf_nan_mode="null")
    empty = text.count(b"{}")
    lists, mappings = text.count(b"["), text.count(b"{") - empty
    return len(text) + 64 * (empty + lists) + 184 * mappings + 24 * text.count(b",") + 16 * text.count(b'"')


def outline(object_: Object) -> Object:
    """Who an object is, with what of it is ours, and nothing else."""
    meta = object_["metadata"]
    kept = {name: value for name, value in meta.items() if name in KEPT}
    for name in ("labels", "annotations"):
        ours = (each for each in (meta.get(name) or {}).items() if DOMAIN in each[0] and len(each[1]) <= LONGEST_NOTE)
        kept |= {name: found} if (found := dict(islice(ours, MOST_NOTES))) else {}
    return {**{name: object_[name] for name in ("apiVersion", "kind") if name in object_}, "metadata": kept}


class Allowance:
    """What each namespace takes."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        """`most`: bytes; objects without a namespace are those of whoever runs the cluster, and counted nowhere."""
        self.most = most
        self._taken: Counter[str] = Counter()

    def fits(self, namespace: str, more: int) -> bool:
        """Whether so many bytes more are allowed."""
        return not namespace or self._taken[namespace] + more <= self.most

    def take(self, namespace: str, more: int) -> None:
        """They are kept; less than nothing gives some back."""
        if namespace and more:
            self._taken[namespace] += more
            if self._taken[namespace] <= 0:
                del self._taken[namespace]
