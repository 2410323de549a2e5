"""Numbers of all rollouts of a cluster, read together: one query for each metric and tick, whatever their number."""
