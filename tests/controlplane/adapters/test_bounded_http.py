"""The client behind every bounded question: what it does when its own end comes first. See also test_answer_budget."""

import pytest

from canary.errors import Unavailable
from controlplane.adapters.bounded_http import BoundedHttp


async def test_s14_a_question_to_a_client_that_was_closed_has_no_answer_and_is_no_bug() -> None:
    """A plan that names another Prometheus at each edit leaves searches behind that still want to ask."""
    http = BoundedHttp(most_bytes=1_000)
    await http.close()
    with pytest.raises(Unavailable, match="was closed"):
        await http.get("http://127.0.0.1:9/", seconds=5.0)
