"""Ports made real: one module for each piece of the world, none knowing another."""
