"""The kinds that Serinus reads or writes, by their places in the API. A table and nothing else.

Permissions in `manifests/` and in the chart are checked against what is used of these.
"""

from controlplane.kubernetes.api import Resource

MODEL_CANARY = Resource("serinus.dev", "v1alpha1", "modelcanaries", "ModelCanary")
GIT_SOURCE = Resource("serinus.dev", "v1alpha1", "gitsources", "GitSource")
ROLLOUT_HISTORY = Resource("serinus.dev", "v1alpha1", "rollouthistories", "RolloutHistory")
INFERENCE_SERVICE = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
LLM_INFERENCE_SERVICE = Resource("serving.kserve.io", "v1alpha2", "llminferenceservices", "LLMInferenceService")
SERVING_RUNTIME = Resource("serving.kserve.io", "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIME = Resource(
    "serving.kserve.io", "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
HTTP_ROUTE = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GATEWAY = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
KNATIVE_SERVICE = Resource("serving.knative.dev", "v1", "services", "Service", labelled=True)
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
POD = Resource("", "v1", "pods", "Pod")
NODE = Resource("", "v1", "nodes", "Node", namespaced=False)
SERVICE = Resource("", "v1", "services", "Service", labelled=True)
NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False, labelled=True)
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
SECRET = Resource("", "v1", "secrets", "Secret")
ADMISSION_POLICY = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
ADMISSION_POLICY_BINDING = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
EVENT = Resource("events.k8s.io", "v1", "events", "Event")
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CUSTOM_RESOURCE_DEFINITION = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
