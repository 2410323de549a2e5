"""The knobs of the sample server refuse what cannot be lived by, and say which knob it is."""

import math
from typing import Any

import pytest

from controlplane.sample.knobs import Knobs

KNOBS = "ttft, itl, tokens, jitter, error_rate, kpis, readers, tenant_error_rates, truncated"


def test_a_turned_knob_leaves_the_others_alone() -> None:
    knobs = Knobs(ttft=0.1, kpis={"conversion": 0.2, "csat": 0.9}).changed({"error_rate": 0.3, "kpis": {"csat": 0.5}})
    assert knobs.as_dict() | {"jitter": None} == {
        "ttft": 0.1,
        "itl": 0.001,
        "tokens": 16,
        "jitter": None,
        "error_rate": 0.3,
        "kpis": {"conversion": 0.2, "csat": 0.5},
        "readers": 1,
        "tenant_error_rates": {},
        "truncated": 0.0,
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ttft": -1}, "ttft is a number from 0, got -1"),
        ({"ttft": math.nan}, "ttft is a number from 0, got nan"),
        ({"itl": "fast"}, "itl is a number from 0, got 'fast'"),
        ({"error_rate": 1.5}, "error_rate is a share between 0 and 1, got 1.5"),
        ({"error_rate": True}, "error_rate is a number from 0, got True"),
        ({"tokens": 0}, "tokens is a whole number from 1, got 0"),
        ({"readers": 1.5}, "readers is a whole number from 1, got 1.5"),
        ({"kpis": {"conversion": 2}}, "kpis.conversion is a share between 0 and 1, got 2"),
        ({"kpis": 3}, "kpis maps names to shares, got 3"),
        (
            {"speed": 3},
            f"there is no knob 'speed'; there are {KNOBS}",
        ),
    ],
)
def test_an_impossible_knob_is_refused_by_name(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Knobs().changed(changes)
    assert str(refused.value) == says
