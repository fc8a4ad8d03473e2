{{- define "konductor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "konductor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "konductor.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "konductor.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "konductor.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "konductor.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "konductor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "konductor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "konductor.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "konductor.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name names the one to use where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "konductor.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* What the operator does, and nothing else. */}}
{{- define "konductor.operatorRules" -}}
- apiGroups: [konductor.io]
  resources: [arrivals, barriers, claims, gates, leases, runs, semaphores]
  verbs: [get, list, watch]
- apiGroups: [konductor.io]
  resources: [barriers/status, gates/status, leases/status, runs/status, semaphores/status]
  verbs: [update]
- apiGroups: [konductor.io]
  resources: [claims/status]
  verbs: [patch]
# Arrivals of Jobs, and who owns what.
- apiGroups: [konductor.io]
  resources: [arrivals]
  verbs: [create, patch]
- apiGroups: [konductor.io]
  resources: [barriers, gates]
  verbs: [patch, delete]
- apiGroups: [konductor.io]
  resources: [runs]
  verbs: [delete]
# Starting, stopping, and the annotations of Jobs.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The election of the operator that leads. A list or watch of one name needs its field selector. */}}
{{- define "konductor.leaderRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [konductor-operator]
  verbs: [get, list, watch, patch]
{{- end -}}
