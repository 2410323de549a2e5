"""The plans that simulations in tests play: the sample plan of the package, a short one, and a tiny one."""

from canary.spec.models import ModelCanary
from canary.spec.parse import parse
from controlplane.simulation.sample import SAMPLE


def _plan(name: str, stages: str, more: str = "") -> ModelCanary:
    text = f"""
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: {name}}}
spec:
  model: {{name: {name}}}
  stable: {{name: v1, command: [serve]}}
  canary: {{name: v2, command: [serve, --new]}}
  {more}
  stages:
{stages}"""
    return parse(text, f"{name}.canary.yml")


SAMPLE_PLAN = parse(SAMPLE.read_text(), SAMPLE.name)
"""Most of a day; sees every kind of harm. A second of work."""

SHORT_PLAN = _plan(
    "short",
    """
    - {traffic: 5%, hold: 2m, gates: [latency p95 not worse than stable by 30%, error_rate <= 3%]}
    - traffic: 25%
      hold: 2m
      gates: [latency p95 not worse than stable by 20%, error_rate not worse than stable by 1pp]
    - traffic: 75%
      hold: 2m
      gates: [latency p95 not worse than stable by 20%, error_rate not worse than stable by 1pp]
    - {traffic: 100%, hold: 30s}
""",
    "judge: {warmup: 20s}",
)
"""Seven minutes; sees plain harm. A tenth of a second of work."""

TINY_PLAN = _plan(
    "tiny",
    """
    - {traffic: 20%, hold: 20s, gates: [error_rate <= 5%]}
    - {traffic: 50%, hold: 20s, gates: [error_rate <= 5%]}
    - {traffic: 100%, hold: 10s}
""",
)
"""A minute; for tests that play it hundreds of times."""
