"""Variants on KServe: what is asked of it for a variant, and what its objects and pods say in return."""
