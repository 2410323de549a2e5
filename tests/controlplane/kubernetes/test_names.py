"""Names that KServe, Services and DNS accept, distinct for distinct variants."""

import re

from hypothesis import given
from hypothesis import strategies as st

from controlplane.kubernetes import names

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)


def test_short_names_stay_readable() -> None:
    assert names.service_name("support-llm", "nf4") == "support-llm-nf4"
    assert names.predictor("support-llm-nf4") == "support-llm-nf4-predictor"


@given(NAMES, NAMES)
def test_the_service_of_a_variant_is_a_dns_label_however_long_its_names(rollout: str, variant: str) -> None:
    assert LABEL.fullmatch(names.predictor(names.service_name(rollout, variant)))


@given(NAMES, NAMES, NAMES)
def test_distinct_variants_have_distinct_names(rollout: str, one: str, other: str) -> None:
    assert (names.service_name(rollout, one) == names.service_name(rollout, other)) == (one == other)


def test_labels_name_the_rollout_and_where_given_its_variant() -> None:
    both = names.labels("support-llm", "nf4")
    assert both == names.labels("support-llm") | {names.VARIANT_LABEL: "nf4"}
    assert names.labels("support-llm")[names.ROLLOUT_LABEL] == "support-llm"
