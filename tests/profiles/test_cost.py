"""Money: units, dates, and whose price counts."""

import pytest

from profiles.catalogue import builtin
from profiles.cost import cost
from profiles.deployment import Deployment
from profiles.interval import Estimate

KNOWN = builtin()
ONE = Deployment(KNOWN.model("Llama-3.1-8B"), KNOWN.gpu("L40S"), KNOWN.quantization("fp8"), gpus=2)
RATE = Estimate(10.0, 8.0, 12.5)


def test_two_gpus_at_ten_requests_a_second() -> None:
    """Two L40S at $1.20 an hour answer 36,000 requests for $2.40."""
    found = cost(ONE, RATE, output_tokens=100)
    assert found is not None
    assert found.hourly == pytest.approx(2.40)
    assert found.per_request.value == pytest.approx(2.40 / 36000)
    assert found.per_1k_requests.value == pytest.approx(1000 * 2.40 / 36000)
    assert found.per_1m_tokens.value == pytest.approx(10000 * 2.40 / 36000)


def test_a_faster_replica_is_the_lower_bound_of_its_cost() -> None:
    found = cost(ONE, RATE, 100)
    assert found is not None
    assert found.per_request.low == pytest.approx(found.hourly / 3600 / RATE.high)
    assert found.per_request.low < found.per_request.value < found.per_request.high


def test_the_users_price_has_no_date_and_wins() -> None:
    found = cost(ONE, RATE, 100, price=3.0)
    assert found is not None
    assert (found.hourly, found.price_date, found.price_source) == (6.0, "", "yours")
