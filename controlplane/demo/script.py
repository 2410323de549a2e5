"""The script of the demo: who is stable, who is the canary, and what happens to it. Values only; `play.py` acts it out.

The winner of the first act is the stable variant of the second and serves on in between, as in real life.
"""

import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from canary.rollout import Phase, Result, Rollout
from canary.spec.models import ModelCanary
from canary.spec.parse import parse

MODEL = "sample-llm"
SPEED = ("--ttft=0.03", "--itl=0.0005", "--jitter=0.25")
LOADING = ("--start-up=1.5",)
TROUBLE = {"ttft": 0.3, "error_rate": 0.3}
"""What the knobs of the second canary are turned to: ten times slower, and three of ten answers are errors."""
TROUBLE_STAGE = 1


@dataclass(frozen=True, slots=True)
class ScriptedRollout:
    """One rollout."""

    number: int
    stable: str
    canary: str
    title: str
    breaks: bool
    """Whether its canary is made sick at the second stage."""
    expected: Result

    def plan(self) -> ModelCanary:
        """The canary.yml of this act, parsed."""
        name = "demo.canary.yml"
        text = Template((files(__package__) / name).read_text(encoding="utf-8")).substitute(
            python=json.dumps(sys.executable),
            stable=self.stable,
            canary=self.canary,
            stable_flags=_flags(self.stable),
            canary_flags=_flags(self.canary),
        )
        return parse(text, name)

    def trouble_begins(self, rollout: Rollout) -> bool:
        """Whether this is the moment when the canary gets sick."""
        return self.breaks and rollout.stage == TROUBLE_STAGE and rollout.phase is Phase.ANALYZING


ACTS = (
    ScriptedRollout(1, "v1", "v2", "v2 is a healthy new version", breaks=False, expected="promoted"),
    ScriptedRollout(
        2, "v2", "v3", "v3 gets slow and starts to fail when it has 25 %", breaks=True, expected="rolled_back"
    ),
)


def _flags(variant: str) -> str:
    """The flags of a variant in YAML; all but the first version take a moment to load, and the first serves at once."""
    return ", ".join(json.dumps(flag) for flag in (*SPEED, *(() if variant == "v1" else LOADING)))
