"""The table of transitions: which phase may follow which, and when. A phase changes nowhere but along these lines.

Read by `machine.py`, which refuses every other change, and by `docs/`, whose diagram is drawn from it. Holds no logic.
"""

from collections.abc import Mapping

from canary.rollout import Phase

P = Phase
BACK = "harm, an operator, a newer plan, a lost variant or a lowered route: everything goes back to stable"

TRANSITIONS: Mapping[Phase, Mapping[Phase, str]] = {
    P.PENDING: {
        P.PREPARING: "always: both variants are asked to run",
        P.ROLLING_BACK: BACK,
    },
    P.PREPARING: {
        P.EVALUATING: "both variants are ready and the plan has an evaluation",
        P.SHADOWING: "both are ready and the plan begins in the shadow",
        P.SHIFTING: "both are ready",
        P.PROMOTING: "both are ready and the plan is one step to 100 %",
        P.ROLLING_BACK: BACK,
    },
    P.EVALUATING: {
        P.SHADOWING: "every criterion holds and the plan has a shadow",
        P.SHIFTING: "every criterion holds, the plan only warns, or a person lets it go on",
        P.PROMOTING: "likewise, and the plan is one step to 100 %",
        P.ROLLING_BACK: BACK,
    },
    P.SHADOWING: {
        P.SHIFTING: "the canary won as many days running as the plan asks",
        P.PROMOTING: "likewise, and the plan is one step to 100 %",
        P.ROLLING_BACK: BACK,
    },
    P.SHIFTING: {
        P.ANALYZING: "the weights asked for are seen in force",
        P.PAUSED: "an operator says so",
        P.ROLLING_BACK: BACK,
    },
    P.ANALYZING: {
        P.SHIFTING: "the hold is over and every gate passes, or an operator skips the rest of the stage",
        P.PROMOTING: "likewise, and the next stage is 100 %",
        P.AWAITING_APPROVAL: "the stage passed and somebody has to agree",
        P.PAUSED: "an operator, a gate that pauses, or missing evidence at the end of the hold",
        P.BLIND: "the metric source is silent",
        P.ROLLING_BACK: BACK,
    },
    P.AWAITING_APPROVAL: {
        P.SHIFTING: "somebody agreed",
        P.PROMOTING: "somebody agreed and the next stage is 100 %",
        P.PAUSED: "an operator, or a gate that pauses",
        P.ROLLING_BACK: BACK,
    },
    P.PAUSED: {
        P.SHIFTING: "an operator resumes a shift, or skips the rest of the stage",
        P.ANALYZING: "an operator resumes",
        P.AWAITING_APPROVAL: "an operator resumes",
        P.PROMOTING: "an operator resumes or skips, and the stage is 100 %",
        P.WATCHING: "an operator resumes",
        P.ROLLING_BACK: BACK,
    },
    P.PROMOTING: {
        P.WATCHING: "100 % is seen in force",
        P.PAUSED: "an operator says so",
        P.ROLLING_BACK: BACK,
    },
    P.WATCHING: {
        P.SUCCEEDED: "the last hold is over and nothing spoke against it",
        P.PAUSED: "an operator, a gate that pauses, or missing evidence at the end of the hold",
        P.BLIND: "the metric source is silent",
        P.ROLLING_BACK: BACK,
    },
    P.BLIND: {
        P.ANALYZING: "the metric source is back",
        P.WATCHING: "the metric source is back",
        P.PAUSED: "an operator, or silence for longer than maxBlind",
        P.SHIFTING: "an operator goes on without metrics",
        P.PROMOTING: "an operator goes on without metrics to 100 %",
        P.ROLLING_BACK: BACK,
    },
    P.ROLLING_BACK: {
        P.ROLLED_BACK: "the canary is seen to get nothing",
        P.SUPERSEDED: "likewise, and a newer plan was the reason",
    },
    P.SUCCEEDED: {},
    P.ROLLED_BACK: {},
    P.SUPERSEDED: {},
}


def allowed(before: Phase, after: Phase) -> bool:
    """Whether the table has a line from `before` to `after`."""
    return after in TRANSITIONS[before]
