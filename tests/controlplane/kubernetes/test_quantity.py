"""Amounts of whole things, as any pod of a cluster may say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kubernetes.quantity import whole


@pytest.mark.parametrize(
    ("amount", "count"),
    [("4", 4), (4, 4), ("1k", 1000), ("2M", 2_000_000), ("1Ki", 1024), ("3Gi", 3 * 1024**3), ("0", 0), ("1E", 10**18)],
)
def test_an_amount_is_as_many_as_kubernetes_means(amount: object, count: int) -> None:
    """It writes a thousand as 1k, whoever wrote 1000."""
    assert whole(amount) == count


@pytest.mark.parametrize("amount", ["", "500m", "1.5", "-1", "many", "1kk", None, [], "9" * 400, "1e3"])
def test_what_is_no_amount_of_whole_things_is_none(amount: object) -> None:
    assert whole(amount) == 0


@given(st.text() | st.integers() | st.floats() | st.lists(st.text()))
def test_no_amount_is_more_than_its_reader_can_take(amount: object) -> None:
    assert whole(amount) >= 0
