"""Predicts what a quantized variant of a model needs, does and costs on a GPU.

This package is pure, like `canary`, and does not know it. `controlplane` calls it.
"""
