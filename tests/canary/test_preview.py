"""What a request would do: a preview promises exactly what the machine then does."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.pass_context import PassContext
from canary.preview import preview, why_not_again
from canary.requests import answer
from canary.rollout import Phase
from canary.snapshot import OperatorRequest, Verb, request_id
from tests.canary.story import Story

STEPS = st.lists(
    st.sampled_from(["wait", "pause", "resume", "promote", "abort", "approve", "sick", "silent"]), max_size=8
)


@given(STEPS, st.sampled_from(get_args(Verb)), st.booleans())
def test_a_request_is_previewed_as_possible_exactly_where_the_machine_accepts_it(
    steps: list[str], verb: Verb, full: bool
) -> None:
    story = Story().ready(1)
    for number, step in enumerate(steps):
        at = 10.0 + 20 * number
        match step:
            case "wait":
                story.at(at)
            case "sick":
                story.ready(at, canary=False)
            case "silent":
                story.silence(at)
            case _:
                story.ask(at, step)  # type: ignore[arg-type]  # the others are verbs
    asked = OperatorRequest("asked", verb, "ada", story.now + 1, full and verb == "promote")
    found = preview(story.spec, story.rollout, story.seen, asked)
    assert bool(found.effect) != bool(found.reason)
    if verb == "retry":
        assert found.reason == why_not_again(story.rollout)
    else:
        accepted = answer(PassContext(story.spec, story.rollout, story.seen, asked.at), asked).accepted
        assert accepted == bool(found.effect), story.tell()


def test_a_first_abort_gives_the_traffic_back_and_its_effect_says_so() -> None:
    story = Story().ready(1).at(30)
    assert story.rollout.phase is Phase.ANALYZING
    found = preview(story.spec, story.rollout, story.seen, OperatorRequest("asked", "abort", "ada", 31.0))
    assert found.effect.startswith("All traffic goes back to ")


@pytest.mark.parametrize(
    ("cause", "at", "nonce", "id_"),
    [
        ("pause", 1_764_000_000.1234567, "9f3a2c", "pause-1764000000.123457-9f3a2c"),
        ("drift", 12.0, "", "drift-12.000000"),
    ],
)
def test_an_id_names_cause_moment_and_sender(cause: str, at: float, nonce: str, id_: str) -> None:
    assert request_id(cause, at, nonce) == id_
