"""Healthy means comfortably inside the plan's own limits, whatever they are."""

import pytest

from canary.spec.parse import parse
from controlplane.simulation import levels, shape
from controlplane.simulation.levels import Levels
from controlplane.simulation.noise import NOISES


def healthy(*gates: str, noise: str = "real") -> Levels:
    """Levels for a plan with these gates."""
    lines = "".join(f"\n        - {gate}" for gate in gates) or " []"
    text = f"""
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: m}}
spec:
  model: {{name: m}}
  stable: {{name: v1, command: [serve]}}
  canary: {{name: v2, command: [serve, --new]}}
  stages:
    - traffic: 10%
      hold: 1h
      gates:{lines}
    - {{traffic: 100%}}
"""
    return levels.healthy(parse(text, "levels.canary.yml").spec, NOISES[noise])


@pytest.mark.parametrize("noise", NOISES)
def test_latency_stands_at_sixty_percent_of_the_tightest_limit(noise: str) -> None:
    """Of p95 <= 200 ms and p99 <= 150 ms the second is the tighter one."""
    found = healthy("latency p95 <= 200ms", "latency p99 <= 150ms", noise=noise)
    assert found.times["latency"] * shape.quantile(0.99, NOISES[noise].pause) == pytest.approx(0.6 * 0.150)
    assert {0.2, 0.15} <= set(found.bounds["latency"])


def test_a_loose_limit_makes_a_slow_service() -> None:
    """A language model with a limit of 2.5 s is not a web server."""
    assert healthy("latency p95 <= 2.5s").times["latency"] > 0.3


def test_errors_stand_far_below_their_limit() -> None:
    """0.1 % allowed, 0.03 % made; where the limit is generous, the usual half percent."""
    assert healthy("error_rate <= 0.1%").errors == pytest.approx(0.0003)
    assert healthy("error_rate <= 50%").errors == 0.005
    assert healthy().errors == 0.005


def test_kpis_are_counted_where_the_plan_asks_for_them() -> None:
    """Half of a cap, half of the way above a floor, a fifth where only a drop matters."""
    found = healthy("escalation_rate <= 5%", "csat drop <= 3%", "first_turn_resolution >= 70%")
    assert found.kpis == pytest.approx({"escalation_rate": 0.025, "csat": 0.2, "first_turn_resolution": 0.85})
    assert found.better_low == {"escalation_rate"}
    assert healthy("latency p95 <= 1s").kpis == {}


def test_what_the_model_server_says_is_inside_its_limits() -> None:
    """Caps from below, floors from above, and nothing that nobody asks for."""
    found = healthy("tokens_per_second >= 60", "kv_cache_usage <= 50%")
    assert found.engine == pytest.approx({"tokens_per_second": 100, "kv_cache_usage": 0.3})
    assert healthy().engine == {}
