"""Lines of an evaluation with margins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.spec.criterion import criterion
from canary.spec.units import UnreadableNumber


def test_a_margin_is_in_points_and_follows_the_metrics_direction() -> None:
    higher = criterion("exact  not worse than stable by 2 pp")
    assert (higher.text, higher.comparison, higher.margin) == ("exact not worse than stable by 2pp", "min", 0.02)
    lower = criterion("hallucination_rate not worse than stable by 1.5pp")
    assert (lower.comparison, lower.limit, lower.margin) == ("max", None, 0.015)
    assert criterion(lower.text) == lower


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("exact not worse than stable by 2%", "percentage points such as 2pp"),
        ("exact not worse than stable by 0pp", "more than 0pp and less than 100pp"),
        ("exact not worse than stable by 100pp", "more than 0pp and less than 100pp"),
        ("refusal not worse than stable by 2pp", "Write refusal <= stable or refusal >= stable"),
        ("exact not worse than stable", 'expected "by"'),
    ],
)
def test_a_margin_that_means_nothing_is_refused(line: str, sentence: str) -> None:
    with pytest.raises(UnreadableNumber, match=sentence):
        criterion(line)


@given(st.integers(1, 999))
def test_a_criterions_text_reads_as_the_same_criterion(tenths: int) -> None:
    read = criterion(f"exact not worse than stable by {tenths / 10}pp")
    assert criterion(read.text) == read
