"""Observe, decide, carry out, look again."""
