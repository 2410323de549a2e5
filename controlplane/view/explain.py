"""Where a rollout is, and why, in lines for people: the same ones from a laptop's store and from a cluster's.

Used by `serinus status` and `why`, and by `kubectl canary`. The sentences are the machine's and the judge's own.
"""

from canary.judge import compile_gates, what_would_flip
from canary.judge.compat import can_go_on_with
from canary.rollout import Phase, Reason, Rollout
from canary.spec.models import CanarySpec
from controlplane.view.text import clean

WORTH_KNOWING = frozenset({Reason.NOISE_FLOOR, Reason.FINGERPRINT_DIFFERS, Reason.JUDGED_ANEW, Reason.TIME_NOT_WATCHED})
"""Events that change no phase and say something about how far the verdicts can be trusted."""


WRITTEN_BY_ANOTHER = (
    "What would flip these verdicts is not known here: another release of Serinus judges this rollout. Ask with its "
    "version of this command; the verdicts are as that release gave them."
)


def cause_of(rollout: Rollout) -> str:
    """The sentence that sent everything back to stable; empty where nothing did."""
    if rollout.decided is None:
        return ""
    backs = [each for each in rollout.history if each.event == "phase" and each.phase is Phase.ROLLING_BACK]
    return clean(backs[-1].message) if backs else clean(rollout.message)


def headline(rollout: Rollout) -> str:
    """`support-llm  Analyzing  25 %  WeightsInForce`."""
    return f"{rollout.name}  {rollout.phase}  {rollout.weights}  {rollout.reason}"


def status_lines(rollout: Rollout) -> list[str]:
    """Where it is, and what each gate says."""
    verdicts = [f"  {verdict.verdict.value:4}  {clean(verdict.why)}" for verdict in rollout.verdicts]
    return [headline(rollout), clean(rollout.message), *verdicts]


def why_lines(spec: CanarySpec, rollout: Rollout) -> list[str]:
    """Why it is where it is: the cause of a rollback, else its own sentence; each gate, and what would flip it."""
    noise = [clean(event.message) for event in rollout.history if event.reason in WORTH_KNOWING]
    first = cause_of(rollout) or clean(rollout.message)
    lines = [headline(rollout), first, *(each for each in noise if each not in first)]
    now = rollout.history[-1].at if rollout.history else rollout.since
    config = compile_gates(spec)
    known = can_go_on_with(config, rollout.judge)
    flips = what_would_flip(config, rollout.judge, stage=rollout.stage, now=now) if known else {}
    for verdict in rollout.verdicts:
        lines += ["", f"  {verdict.verdict.value:4}  {clean(verdict.gate)}", f"        {clean(verdict.why)}"]
        if flip := flips.get(verdict.gate):
            lines.append(f"        {clean(flip)}")
    return lines if known else [*lines, "", WRITTEN_BY_ANOTHER]
