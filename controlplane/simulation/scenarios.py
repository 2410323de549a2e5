"""The scenarios of `serinus simulate`, as a table: what happens in each, and what should come of it.

Read by the command, by `world.py` and by the tests, which hold every promise of this table against what really comes of
it. A promise is about a plan whose gates can see the harm, such as the sample plan.
"""

from dataclasses import dataclass

from controlplane.simulation.faults import Faults, Spell
from controlplane.simulation.regression import Regression

HEALTHY, CALM = Regression(), Faults()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world."""

    name: str
    happens: str
    promise: str
    """What should come of it."""
    result: str
    """The result that the promise means: `promoted`, `rolled_back`, `failed`, or `timed_out` for none at all."""
    flaw: Regression = HEALTHY
    """What is wrong with the canary."""
    faults: Faults = CALM
    """What goes wrong around it."""


PROMOTED, ROLLED_BACK, FAILED, TIMED_OUT = "promoted", "rolled_back", "failed", "timed_out"
TEN_MINUTES = 600.0

TABLE = (
    Scenario("healthy", "The canary is exactly as good as stable.", "It is promoted.", PROMOTED),
    Scenario(
        "errors-x2",
        "The canary fails twice as often as stable.",
        "It is rolled back once the evidence is in.",
        ROLLED_BACK,
        Regression(errors=2),
    ),
    Scenario(
        "errors-x20",
        "The canary fails twenty times as often as stable.",
        "It is rolled back within moments.",
        ROLLED_BACK,
        Regression(errors=20),
    ),
    Scenario(
        "latency-20",
        "Every answer of the canary takes 20 % longer.",
        "A plan that compares latency with stable rolls it back; inside an absolute limit it may pass.",
        ROLLED_BACK,
        Regression(latency=1.2),
    ),
    Scenario(
        "tail-25",
        "Only the slowest 3 % of the canary's answers take longer, by 25 %.",
        "A plan that compares the p99 with stable rolls it back.",
        ROLLED_BACK,
        Regression(tail=1.25),
    ),
    Scenario(
        "leak",
        "The canary begins healthy and fails more and more, up to four times as often as stable.",
        "It is rolled back although it passed its first stage.",
        ROLLED_BACK,
        Regression(errors=4, when="growing"),
    ),
    Scenario(
        "under-load",
        "The canary fails three times as often while the load is more than 30 % above the usual.",
        "It is rolled back when the load has been high for long enough.",
        ROLLED_BACK,
        Regression(errors=3, when="high load"),
    ),
    Scenario(
        "intermittent",
        "For 20 s of every three minutes the canary fails five times as often.",
        "It is rolled back although it looks well most of the time.",
        ROLLED_BACK,
        Regression(errors=5, when="now and then"),
    ),
    Scenario(
        "kpi-5",
        "The canary is quick and makes no errors, but 5 % fewer of its users do what the business hopes for.",
        "A plan with a gate on that KPI, narrower than 5 %, rolls it back.",
        ROLLED_BACK,
        Regression(kpi=0.95),
    ),
    Scenario(
        "shared-outage",
        "Something that both variants need fails for ten minutes, and both make twenty times the errors.",
        "The rollout waits for it to pass and is promoted: a shared cause is not the canary's fault.",
        PROMOTED,
        faults=Faults(outage=Spell(0.3, TEN_MINUTES)),
    ),
    Scenario(
        "stable-degrades",
        "Stable alone fails a tenth of its requests for ten minutes.",
        "The canary is not punished for it: it is promoted.",
        PROMOTED,
        faults=Faults(stable_fails=Spell(0.3, TEN_MINUTES)),
    ),
    Scenario(
        "no-traffic",
        "Nobody calls the service.",
        "Nothing is decided without evidence: the rollout waits until the simulation ends.",
        TIMED_OUT,
        faults=Faults(no_traffic=True),
    ),
    Scenario(
        "prometheus-down",
        "The metric source is silent for ten minutes.",
        "The weights freeze until it is back, then it is promoted (onBlind: hold).",
        PROMOTED,
        faults=Faults(silent=Spell(0.3, TEN_MINUTES)),
    ),
    Scenario(
        "nan",
        "In one scrape of ten a replica's numbers are NaN.",
        "They count for neither side: it is promoted.",
        PROMOTED,
        faults=Faults(nan=0.1),
    ),
    Scenario(
        "scrape-gaps",
        "In one scrape of five a replica is missing.",
        "Its requests are counted with the next scrape: it is promoted.",
        PROMOTED,
        faults=Faults(gaps=0.2),
    ),
    Scenario(
        "counter-resets",
        "In one scrape of twenty a replica's counters begin again at zero.",
        "No request is counted twice or made up: it is promoted.",
        PROMOTED,
        faults=Faults(restarts=0.05),
    ),
    Scenario(
        "slow-start",
        "The canary takes 80 % of its progressDeadline to be ready, and is three times as slow while it warms up.",
        "It gets no traffic before it is ready, and its warm-up does not count: it is promoted.",
        PROMOTED,
        faults=Faults(start=0.8, cold=3.0),
    ),
    Scenario(
        "never-ready",
        "The canary never becomes ready.",
        "It gets no traffic; after progressDeadline the rollout has failed.",
        FAILED,
        faults=Faults(start=float("inf")),
    ),
    Scenario(
        "hang",
        "The canary begins every answer with a 200 and finishes none; its readiness check goes on passing.",
        "The hard stop holds what is begun against what finishes: it is rolled back.",
        ROLLED_BACK,
        faults=Faults(hang=True),
    ),
    Scenario(
        "empty",
        "The canary ends every answer at once: a 200 with nothing in it.",
        "Empty answers are failures: it is rolled back within moments.",
        ROLLED_BACK,
        faults=Faults(empty=True),
    ),
    Scenario(
        "crash-loop",
        "With traffic on it, the canary's replicas crash, come back, and crash again.",
        "Its traffic goes back to stable the moment it is seen: it is rolled back.",
        ROLLED_BACK,
        faults=Faults(crashes=Spell(0.2, TEN_MINUTES)),
    ),
    Scenario(
        "controller-killed",
        "The controller is killed again and again, at any line of its work, and started again.",
        "No stage is repeated or skipped, no weight rises that was not saved: it is promoted.",
        PROMOTED,
        faults=Faults(killed=0.01),
    ),
    Scenario(
        "store-down",
        "The store answers nothing for ten minutes.",
        "Traffic does not rise meanwhile and nothing is forgotten: it is promoted.",
        PROMOTED,
        faults=Faults(store_down=Spell(0.1, TEN_MINUTES)),
    ),
    Scenario(
        "writes-rejected",
        "Three of ten writes to the store meet somebody else's, and three of ten changes of the route are refused.",
        "Each is tried again: it is promoted.",
        PROMOTED,
        faults=Faults(conflicts=0.3, refusals=0.3),
    ),
    Scenario(
        "clock-jump",
        "The controller's clock jumps back by ten minutes, and later forward by an hour.",
        "No gate is skipped and nothing is rolled back for it: it is promoted.",
        PROMOTED,
        faults=Faults(jumps=((0.15, -600.0), (0.45, 3000.0))),
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in TABLE}
