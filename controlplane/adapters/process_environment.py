"""Which of our own environment variables a program that we start gets to see: few for a model server, fewer for others.

Used by `process_replica.py`, `envoy_process.py` and `prometheus_server.py`. Whoever starts Serinus has passwords in the
environment that are no business of a model server under test, and other programs of the same user can read it. What a
server needs besides is named in the plan (`passEnv`) or written there (`env`). Reads nothing but what it is handed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from controlplane.observability.redact import looks_secret

OWN = frozenset({"PATH", "HOME", "TZ", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})
"""What Envoy and Prometheus get."""
NAMES = OWN | {
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANGUAGE",
    "LD_PRELOAD",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
    "TOKENIZERS_PARALLELISM",
}
"""What a model server gets: where things are, which language is spoken, how the world is reached."""
PREFIXES = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "ROCM_",
    "ROCR_",
    "HIP_",
    "HSA_",
    "AMD_",
    "ASCEND_",
    "ONEAPI_",
    "ZE_",
    "PYTHON",
    "CONDA_",
    "OMP_",
    "MKL_",
    "KMP_",
    "GOMP_",
    "OPENBLAS_",
    "MALLOC_",
    "TORCH_",
    "TORCHINDUCTOR_",
    "PYTORCH_",
    "TRITON_",
    "XLA_",
    "VLLM_",
    "SGLANG_",
    "LLAMA_",
    "GGML_",
)
"""Families of variables that tune GPUs and servers; those of them that look like a credential are kept back."""
_DENIED = re.compile(
    r"\b(40[13]|unauthori[sz]ed|forbidden|gated|access token|api[ _-]?key|credential|authenticat)", re.IGNORECASE
)
MOST_NAMED = 3


def for_own_program(ours: Mapping[str, str]) -> dict[str, str]:
    """For Envoy and Prometheus."""
    return {name: value for name, value in ours.items() if name in OWN}


def for_server(ours: Mapping[str, str], passed: Iterable[str] = ()) -> dict[str, str]:
    """For a model server: `passed` are names that the plan passes on; those that are not set are left out."""
    wanted = frozenset(passed)
    return {name: value for name, value in ours.items() if name in wanted or _is_plain(name)}


def hint(words: str, ours: Mapping[str, str], env: Mapping[str, str], passed: Sequence[str]) -> str:
    """Which variable a server may have ended for the lack of, as a clause; empty where nothing points to one.

    `words`: the end of its log; `env` and `passed`: as the plan has them. Values are not looked at.
    """
    if unset := [name for name in passed if name not in ours]:
        return f"passEnv names {', '.join(unset)}, which {_are(unset)} not set where Serinus runs"
    given = {*for_server(ours, passed), *env}
    kept_back = sorted(name for name in ours if name not in given)
    named = [name for name in kept_back if re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", words)]
    if not named and _DENIED.search(words):
        named = [name for name in kept_back if looks_secret(name)]
    if not named:
        return ""
    listed = ", ".join(named[:MOST_NAMED])
    return f"{listed} {_are(named)} set here and not passed on to it; where it needs that, write passEnv: [{listed}]"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _is_plain(name: str) -> bool:
    if name in NAMES or name.upper() in {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}:
        return True
    return name.startswith(PREFIXES) and not looks_secret(name)
