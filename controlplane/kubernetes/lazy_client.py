"""The half of the library `kubernetes` that is used: settings, kubeconfigs, service accounts, connections, all async.

Imported by `cluster_config.py` and `client.py` and by nobody else. The library's top package loads its whole other
half, two hundred modules that an operator would keep in memory for nothing. So it stands here as a package that was
found and not run; whatever is imported from it by name later is loaded as ever.
"""

import importlib.util
import sys

_TOP = "kubernetes"
if _TOP not in sys.modules and (_spec := importlib.util.find_spec(_TOP)) is not None:
    sys.modules[_TOP] = importlib.util.module_from_spec(_spec)

from kubernetes.aio.client.configuration import Configuration  # noqa: E402 - only after the lines above
from kubernetes.aio.client.rest import RESTClientObject  # noqa: E402 - only after the lines above
from kubernetes.aio.config.config_exception import ConfigException  # noqa: E402 - only after the lines above
from kubernetes.aio.config.incluster_config import InClusterConfigLoader  # noqa: E402 - only after the lines above
from kubernetes.aio.config.kube_config import load_kube_config  # noqa: E402 - only after the lines above

__all__ = ["ConfigException", "Configuration", "InClusterConfigLoader", "RESTClientObject", "load_kube_config"]
