"""What tests and benchmarks use in place of the real thing; the product never imports it, and no wheel contains it."""
