"""What a canary's clients do not get, though nothing failed: answers of 4xx and 429, and what they cancel.

Used by `arm_totals.py`, which counts it for the guardrail that `config.py` makes, and by `hard_stop.py`. Decides
nothing.
"""

import math
from collections.abc import Mapping

REFUSALS = ("client_errors", "throttled")
"""Totals that the hard stop reads besides requests and errors."""
CANCELLED = "cancelled"
REFUSED, REFUSED_OF = "refused", "refused_of"
"""All of these together, and the requests that they are counted among."""


def counted(totals: Mapping[str, float], requests: float | None) -> Mapping[str, float]:
    """A replica's increments with those of its refusals, where it tells them."""
    if requests is None or REFUSALS[0] not in totals:
        return totals
    refused = math.fsum(totals.get(name, 0.0) for name in (*REFUSALS, CANCELLED))
    # Some are cancelled before they are answered at all.
    of = max(totals.get("begun", 0.0), requests, refused)
    return {**totals, REFUSED: refused, REFUSED_OF: of}
