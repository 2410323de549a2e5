"""Whether this replica leads: the fencing token of its term, and whether the lease is still certain to be its own.

Made by `operator.py` before everything that writes, and passed to it: every write of a state bears the token, and none
is made while another replica may hold the lease. Elects nobody; `controlplane.kubernetes.election` does.
"""

from collections.abc import Callable


class Leadership:
    """One replica's."""

    def __init__(self, fencing_token: int = 0, *, lease_valid: Callable[[], bool] = lambda: True) -> None:
        """`lease_valid`: whether no other replica can lead; without an election, none can."""
        self.fencing_token = fencing_token
        """Number of our term; a state with a higher one is another leader's."""
        self.lease_valid = lease_valid

    def begin(self, fencing_token: int) -> None:
        """A new term."""
        self.fencing_token = fencing_token
