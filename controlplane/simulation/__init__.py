"""A virtual world: seeded traffic, faults and time, driving the same machine, judge and loop as production."""
