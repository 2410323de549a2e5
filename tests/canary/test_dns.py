"""Names by the rules of DNS, as Kubernetes has them."""

import pytest

from canary.dns import is_label, is_subdomain


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63, "9a"])
def test_a_label_is_a_label_and_a_subdomain(name: str) -> None:
    assert is_label(name)
    assert is_subdomain(name)


@pytest.mark.parametrize("name", ["a.b", "0.0", "a" * 64, ".".join(["a" * 63] * 3)])
def test_labels_with_dots_are_a_subdomain_only(name: str) -> None:
    assert not is_label(name)
    assert is_subdomain(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a..b", ".a", "a.", "-a", "a-", "a.-b", "A", "a_b", "a/b", "a%2fb", "a b", "a\n", "é", "a" * 254],
)
def test_what_is_no_name_is_neither(name: str) -> None:
    assert not is_label(name)
    assert not is_subdomain(name)
