"""Which gates mean something in which stage."""

from canary.spec.decidable import never_decided, not_here
from canary.spec.gates import Gate, gate


def test_a_relative_gate_is_decided_where_stable_has_traffic() -> None:
    relative = gate("error_rate not worse than stable by 1pp")
    assert not_here(relative, 0.75, 60.0) is None
    assert not_here(relative, 1.0, 60.0) is not None
    assert not_here(gate("error_rate <= 1%"), 1.0, 60.0) is None


def test_requests_must_be_able_to_grow_as_old_as_a_delay_asks() -> None:
    late = gate("csat drop <= 3%").model_copy(update={"delay": 7200.0})
    assert "no request gets 2h old" in (not_here(late, 0.05, 3600.0) or "")
    assert not_here(late, 0.05, 4 * 3600.0) is None


def test_a_window_must_fit_into_the_hold_where_there_is_one() -> None:
    windowed = gate("error_rate <= 1% over 4h")
    assert not_here(windowed, 0.05, 3600.0) is not None
    assert not_here(windowed, 0.05, 4 * 3600.0) is None
    assert not_here(windowed, 0.05, 0.0) is None


def test_what_is_not_known_is_no_reason_to_refuse() -> None:
    assert not_here(gate("error_rate not worse than stable by 1pp"), None, None) is None


def test_a_gate_made_by_a_program_may_be_about_anything() -> None:
    """A metric outside the table has no known unit, so only plain nonsense is refused."""
    made = Gate(text="x", metric="x", comparison="max", limit=1.0, better="lower")
    assert never_decided(made) is None
    assert never_decided(made.model_copy(update={"comparison": "min", "limit": 0.0})) is not None
