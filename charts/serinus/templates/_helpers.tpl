{{- define "serinus.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "serinus.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "serinus.name" .) }}
{{- end }}

{{- define "serinus.selector" -}}
app.kubernetes.io/name: serinus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "serinus.labels" -}}
{{ include "serinus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "serinus.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the operator follows; the pod's own namespace is left to Kubernetes, so that kustomize may change it. */}}
{{- define "serinus.watched" -}}
{{ .Values.watch.namespace | default .Release.Namespace }}
{{- end }}

{{/* Objects without a namespace are named after the release's where several releases may stand beside each other. */}}
{{- define "serinus.clusterName" -}}
{{ include "serinus.name" . }}{{ if not .Values.watch.allNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* What the operator does in the namespaces that it follows. The tests hold every verb against what it really asks. */}}
{{- define "serinus.rules" -}}
- apiGroups: [serinus.dev]
  resources: [modelcanaries]
  verbs: [get, list, watch, patch]
- apiGroups: [serinus.dev]
  resources: [modelcanaries/status]
  verbs: [patch]
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices, servingruntimes, llminferenceservices]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [list, watch, create, patch]
# Only for whether Knative is there; an account that may not ask is not told that it is not.
- apiGroups: [serving.knative.dev]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The history of a rollout, and which alerts were delivered.
- apiGroups: [serinus.dev]
  resources: [rollouthistories]
  verbs: [get, create, patch]
{{- if .Values.histories.fromConfigMaps }}
# What a build before RolloutHistory kept; only read, and only for as long as this value is set.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Whether a deleted ModelCanary goes alone or with its whole namespace.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}

{{/* What it does besides where it follows repositories. Applying an object that is not there yet takes create and patch. */}}
{{- define "serinus.gitRules" -}}
- apiGroups: [serinus.dev]
  resources: [modelcanaries]
  verbs: [create, delete]
- apiGroups: [serinus.dev]
  resources: [gitsources]
  verbs: [get, list, watch, patch]
- apiGroups: [serinus.dev]
  resources: [gitsources/status]
  verbs: [patch]
# To pass on by whose commit a revision may be tried again; nothing is asked under this name.
- apiGroups: [serinus.dev]
  resources: [modelcanaries/requests]
  verbs: [attest]
{{- end }}

{{/* What has no namespace, or mostly stands in another one, and is only read. */}}
{{- define "serinus.clusterRules" -}}
# Runtimes that variants name.
- apiGroups: [serving.kserve.io]
  resources: [clusterservingruntimes]
  verbs: [list, watch]
# Whether the gateway of a route is there and serves, and which host names routes of other namespaces have on it.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, httproutes]
  verbs: [list, watch]
# Whether the API server compares who a request says it is from with who wrote it.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  resourceNames: [requests.serinus.dev]
  verbs: [get]
# Why a pod finds no place.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}

{{/* Of its own, so that the operator's Service and policies do not mean its pods. */}}
{{- define "serinus.dashboardSelector" -}}
app.kubernetes.io/name: serinus-dashboard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "serinus.dashboardLabels" -}}
{{ include "serinus.dashboardSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What the dashboard itself may do; what it shows and does for a person is what that person may. */}}
{{- define "serinus.dashboardRules" -}}
- apiGroups: [serinus.dev]
  resources: [modelcanaries]
  verbs: [list, watch{{ if not .Values.dashboard.readOnly }}, patch{{ end }}]
{{- if not .Values.dashboard.readOnly }}
# To pass on who asks, whom the API server has named to it by their token.
- apiGroups: [serinus.dev]
  resources: [modelcanaries/requests]
  verbs: [attest]
{{- end }}
# The whole history of a rollout.
- apiGroups: [serinus.dev]
  resources: [rollouthistories]
  verbs: [get]
# Those of both variants, shown to people who may list pods themselves.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
