"""Predicts what a quantized variant of a model needs, does and costs on a GPU.

This package is pure, like `canary`, and does not know it. `controlplane` calls it.

    from profiles import Profiler
    Profiler(model="Mistral-7B", quantization="awq").profile(input_tokens=512, output_tokens=128, batch_size=32,
    gpu_type="L40S")
"""

from profiles.catalogue import Catalogue, builtin
from profiles.deployment import Deployment
from profiles.load import Workload
from profiles.prediction import Prediction, Profiler, predict

__all__ = ["Catalogue", "Deployment", "Prediction", "Profiler", "Workload", "builtin", "predict"]
