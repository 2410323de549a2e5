"""Traffic through a Gateway API gateway: our own HTTPRoute with two fixed slots."""
