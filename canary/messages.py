"""Sentences: what a phase change is called in status, events, terminal, alerts and commits, in the same words.

Called by the machine and by the views. Takes plain values; decides nothing.
"""

from collections.abc import Sequence

from canary import format as fmt
from canary.snapshot import VariantStatus
from canary.weights import Weights


def accepted(name: str, stages: Sequence[Weights]) -> str:
    """The plan in a line."""
    return f"{name}: {' → '.join(str(weights) for weights in stages)}."


def starting(stable: str, canary: str) -> str:
    """Both variants are coming up."""
    return f"Starting {stable} (stable) and {canary} (canary)."


def shifting(canary: str, weights: Weights, why: str) -> str:
    """A stage begins."""
    return f"{why} Giving {weights} of the traffic to {canary}."


def judging(canary: str, weights: Weights, hold: float, gates: int) -> str:
    """The weights are in force and the stage's clock runs."""
    at_least = f" for at least {fmt.duration(hold)}" if hold else ""
    against = f"judged by {gates} gate{'s' if gates != 1 else ''}" if gates else "watched"
    return f"{canary} gets {weights}, {against}{at_least}."


def watching(canary: str, hold: float) -> str:
    """At 100 %, with the way back open."""
    length = f" for {fmt.duration(hold)}" if hold else ""
    return f"{canary} gets all traffic; the way back stays open{length}."


def not_ready(name: str, problem: str, waited: float, hopeless: bool) -> str:
    """A variant that did not come up."""
    what = problem or "it never answered its readiness check"
    how_long = "waiting longer cannot help" if hopeless else f"waited {fmt.duration(waited)}"
    return f"{name} did not become ready ({how_long}): {what}. Traffic stays on stable."


def no_route(stable: str, canary: str, problem: str, waited: float) -> str:
    """A route that was never seen to give stable everything, with which every rollout begins."""
    what = problem or "the router never said what it serves"
    return (
        f"The route was never seen to give {stable} all of the traffic (waited {fmt.duration(waited)}): {what}. "
        f"{canary} is stopped before any traffic; {stable} runs on."
    )


def stuck(name: str, problem: str) -> str:
    """A variant that does not come up by waiting alone."""
    return f"{name} is not ready: {problem}."


def route_awaited(problem: str) -> str:
    """A route that was written and that nobody serves yet."""
    return f"Nobody can be served yet: {problem}."


def given_up(stable: str, canary: str, deadline: float, at: str) -> str:
    """How long something is waited for before any traffic, and what stays as it is meanwhile; `at` is a moment."""
    return (
        f"{canary} gets no traffic meanwhile, and {stable} is left as it is. If it does not come by {at} "
        f"(progressDeadline {fmt.duration(deadline)}), {canary} is stopped and the rollout has failed."
    )


def shift_awaited(weights: Weights, problem: str) -> str:
    """Weights that were written and are not in force."""
    return f"{weights} was asked for and is not in force: {problem}. The rollout waits; nothing else is changed."


def lost(name: str, problem: str) -> str:
    """A canary that was ready and is not any more."""
    return f"{name} stopped being ready{f' ({problem})' if problem else ''}; its traffic goes back to stable."


def never_had_traffic(stable: str, canary: str, seen: VariantStatus) -> str:
    """The end of a rollout before any traffic. A stable variant that cannot serve is not said to."""
    if seen.usable:
        return f"{canary} never had traffic; {stable} serves as before."
    why = f" ({seen.problem})" if seen.problem else ""
    return f"{canary} never had traffic; {stable} cannot serve either{why}."


def back_on(stable: str, took: float) -> str:
    """A rollback has taken the traffic away."""
    return f"All traffic is on {stable} again, {fmt.duration(took)} after the decision."


def draining(name: str, open_: float | None, until: str) -> str:
    """An arm without traffic that still answers; `until` is the moment when it is stopped at the latest."""
    if open_ is None:
        return f"How many requests {name} still answers is not known: it is stopped at {until} (drain)."
    open_now = f"Open requests of {name}: {fmt.count(open_)}."
    return f"{open_now} It is stopped once there are none, at {until} (drain) at the latest."


def drained(name: str, cut: float, open_: float, waited: float) -> str:
    """How it ended: requests that were cut off, of those that were open when the arm lost its traffic."""
    if cut >= 1:
        return f"{_requests(cut)} that {name} was still answering {'was' if round(cut) == 1 else 'were'} cut off."
    if open_ >= 1:
        return f"{name} answered the {_requests(open_)} that it had begun, within {fmt.duration(waited)}."
    return ""


def not_counted(name: str, waited: float) -> str:
    """Nobody knows what an arm was still answering."""
    return f"Nobody counts what {name} was still answering; it had {fmt.duration(waited)} for it (drain)."


def route_lowered(found: Weights, recorded: Weights) -> str:
    """Somebody, or a rollback that could not be saved, took traffic away."""
    return (
        f"The route gives the canary {found} where {recorded} was recorded. Traffic that was taken away is not given "
        f"back without a new verdict: everything goes back to stable."
    )


def below_noise(gate: str, margin: float, noise: float, within: float) -> str:
    """A margin that cannot be told from stable's own noise in a stage's hold, both as fractions."""
    in_that_time = f" within {fmt.duration(within)}" if within else ""
    return (
        f"Your {fmt.share(margin)} limit is below the {fmt.share(noise)} by which stable differs from itself"
        f"{in_that_time} ({gate}): give it a wider margin, a longer hold or more traffic."
    )


def judged_anew(readings: int, since: float) -> str:
    """The judge's memory is of another release; so many readings of the past were there to begin with."""
    cannot = "What the judge remembered was written by another release and cannot be read"
    if not readings:
        return f"{cannot}: it begins anew, with the traffic from now on. Weights and stage are unchanged."
    return (
        f"{cannot}: it begins anew, with {readings} readings of the last {fmt.duration(since)} from the metric source. "
        "Weights and stage are unchanged; what was shown before that does not count any more."
    )


def _requests(count: float) -> str:
    """`1 request`, `1,812 requests`."""
    return f"{fmt.count(count)} request{'' if round(count) == 1 else 's'}"


def blind(problem: str) -> str:
    """The metric source is silent."""
    return f"The metric source is silent ({problem or 'no answer'}): the weights stay as they are until it is back."


def waiting_for_stable(problem: str) -> str:
    """A rollback that would land on a stable variant that cannot serve."""
    return (
        f"Stable cannot serve now ({problem or 'no ready replica'}): traffic stays with the canary, which can, "
        f"and goes back the moment stable is ready."
    )


def not_watched(seconds: float) -> str:
    """The machine slept, the process stood still, or the clock was set."""
    if seconds < 0:
        return f"The clock was set back by {fmt.duration(-seconds)}. Holds and deadlines keep the time they had left."
    return (
        f"The rollout was not watched for {fmt.duration(seconds)}: the machine slept, the process stood still, "
        "or the clock was set. That time counts for no hold and no deadline."
    )
