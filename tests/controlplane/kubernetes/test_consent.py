"""Secrets are read by consent: their own, or that of whoever runs the operator, and for what they were given for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput, Unavailable
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.consent import ALLOW, PURPOSES, Consent, Listed, NotAllowed, Purpose, allowed_by
from controlplane.kubernetes.resources import SECRET
from testing.fake_apiserver.kube import MemoryKube


def _kube(**annotations: str) -> MemoryKube:
    kube = MemoryKube(SystemClock())
    meta = {"name": "db", "namespace": "models", "annotations": annotations}
    kube.seed(SECRET, {"metadata": meta, "data": {"password": "cGFzcw=="}})
    return kube


@pytest.mark.parametrize(
    ("said", "listed", "purpose", "may"),
    [
        ("", (), "alerts", False),
        ("", (), "git", False),
        ("alerts", (), "alerts", True),
        ("alerts", (), "git", False),
        ("git", (), "git", True),
        ("alerts, git", (), "git", True),
        ("alerts git", (), "alerts", True),
        ("all", (), "alerts", False),
        ("alerts-no", (), "alerts", False),
        ("", ("alerts:models/db",), "alerts", True),
        ("", ("alerts:models/db",), "git", False),
        ("", ("git:models/db",), "git", True),
        ("", ("alerts:other/db",), "alerts", False),
        ("", ("alerts:models/other",), "alerts", False),
        ("git", ("alerts:models/other",), "alerts", False),
    ],
)
async def test_s14_a_secret_is_read_for_what_it_was_given_for_and_for_nothing_else(
    said: str, listed: tuple[str, ...], purpose: Purpose, may: bool
) -> None:
    consent = Consent(_kube(**{ALLOW: said}), purpose, [Listed.of(each) for each in listed])
    if may:
        assert await consent.read("models", "db") == {"password": "cGFzcw=="}
    else:
        with pytest.raises(NotAllowed) as refused:
            await consent.read("models", "db")
        assert f"kubectl annotate secret db -n models serinus.dev/allow={purpose}" in str(refused.value)
        assert f"whoever runs the operator names it in the chart's {purpose}.secrets" in str(refused.value)


async def test_a_secret_that_is_not_there_or_may_not_be_read_says_whose_turn_it_is() -> None:
    kube = _kube()
    consent = Consent(kube, "git")
    with pytest.raises(NotAllowed, match="Secret models/other does not exist"):
        await consent.read("models", "other")
    kube.fail_next(Rejected("forbidden"), verb="get")
    with pytest.raises(NotAllowed, match=r"\(forbidden\); whoever runs it names the Secret in the chart's git.secrets"):
        await consent.read("models", "db")
    kube.down = True
    with pytest.raises(Unavailable):
        await consent.read("models", "db")


@pytest.mark.parametrize(
    "text", ["", "models/db", "alerts:db", "alerts:models/", "alerts:/db", "mail:models/db", "git:a/b/c"]
)
def test_what_names_no_secret_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="names no Secret"):
        Listed.of(text)


@given(st.text(max_size=60))
def test_whatever_stands_in_the_annotation_allows_what_it_names_as_a_word(text: str) -> None:
    words = text.replace(",", " ").split()
    assert {each for each in PURPOSES if each in allowed_by({ALLOW: text})} == {
        each for each in PURPOSES if each in words
    }
