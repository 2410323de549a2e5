"""Repositories that a cluster follows: the resource GitSource, and what an operator does about each."""
