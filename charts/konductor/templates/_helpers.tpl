{{/* A name of at most so many characters: of a longer one, the start and a hash of all of it, so that two never
     become one. Called with (list NAME LENGTH). */}}
{{- define "konductor.short" -}}
{{- $name := index . 0 -}}
{{- $length := index . 1 | int -}}
{{- if gt (len $name) $length -}}
{{- printf "%s-%s" ($name | trunc (int (sub $length 9)) | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "konductor.name" -}}
{{- include "konductor.short" (list (default .Chart.Name .Values.nameOverride) 40) -}}
{{- end -}}

{{- define "konductor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "konductor.short" (list .Values.fullnameOverride 40) -}}
{{- else if contains (include "konductor.name" .) .Release.Name -}}
{{- include "konductor.short" (list .Release.Name 40) -}}
{{- else -}}
{{- include "konductor.short" (list (printf "%s-%s" .Release.Name (include "konductor.name" .)) 40) -}}
{{- end -}}
{{- end -}}

{{- define "konductor.labels" -}}
{{- include "konductor.labelsWith" (list . dict) -}}
{{- end -}}

{{/* The labels of every object, and some more, which are stronger than the common ones: each key once. Called with
     (list $ LABELS). */}}
{{- define "konductor.labelsWith" -}}
{{- $more := index . 1 -}}
{{- with index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "konductor.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with merge (deepCopy $more) .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "konductor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "konductor.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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

{{/* The pods' security context. Without a user of ours, the image's own runs, or the one that OpenShift gives. */}}
{{- define "konductor.podSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- range $key := list "runAsUser" "runAsGroup" -}}
{{- if hasKey $.Values $key -}}
{{- $value := get $.Values $key -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $context $key (int64 $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $context -}}
{{ toYaml $context }}
{{- end -}}
{{- end -}}

{{/* A CEL expression: whether the request comes from an operator. A JSON string is a CEL string, whatever
     it holds. */}}
{{- define "konductor.isOperator" -}}
{{- $operator := printf "system:serviceaccount:%s:%s" .Release.Namespace (include "konductor.serviceAccount" .) -}}
request.userInfo.username in {{ toJson (prepend .Values.policies.operatorUsers $operator) }}
{{- end -}}

{{/* The matchCondition that leaves the operator out. */}}
{{- define "konductor.notTheOperator" -}}
- name: not-the-operator
  expression: {{ printf "!(%s)" (include "konductor.isOperator" .) | toJson }}
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
# Of an Indexed Job that a retry has created again: the indexes that succeeded before.
- apiGroups: [batch]
  resources: [jobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.rbac.ownerReferences }}
# The operator deletes none of them. OwnerReferencesPermissionEnforcement lets only those who may delete an
# object give it an owner.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [delete]
- apiGroups: [konductor.io]
  resources: [arrivals]
  verbs: [delete]
{{- end }}
{{- end -}}

{{/* The election of the operator that leads. A list or watch of one name needs its field selector. */}}
{{- define "konductor.leaderRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames:
    {{- range default (list "") .Values.watchNamespaces }}
    - {{ include "konductor.leaderLease" (list $ .) }}
    {{- end }}
  verbs: [get, list, watch, patch]
{{- end -}}

{{/* The Lease of the operators of one namespace, of several in the release's namespace. Called with
     (list $ NAMESPACE). */}}
{{- define "konductor.leaderLease" -}}
{{- $root := index . 0 -}}
{{- if gt (len $root.Values.watchNamespaces) 1 -}}
{{- include "konductor.short" (list (printf "konductor-operator-%s" (index . 1)) 63) -}}
{{- else -}}
konductor-operator
{{- end -}}
{{- end -}}
