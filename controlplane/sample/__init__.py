"""A small model server and a load for it: what the demo, the benchmarks and the tests put behind the router."""
