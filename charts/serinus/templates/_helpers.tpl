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

{{- define "serinus.watched" -}}
{{ .Values.watch.namespace | default .Release.Namespace }}
{{- end }}

{{/* What the operator may do with rollouts and their objects. Each verb is one that it uses: a test holds both against each other. */}}
{{- define "serinus.rules" -}}
- apiGroups: [serinus.dev]
  resources: [modelcanaries]
  verbs: [get, list, watch, patch]
- apiGroups: [serinus.dev]
  resources: [modelcanaries/status]
  verbs: [patch]
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices, servingruntimes, llminferenceservices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
