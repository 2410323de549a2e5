"""The judge: PASS, FAIL or WAIT for every gate, from counts of both arms over the same time."""
